"""What of the pixels along a mask's outline is the thing's."""
