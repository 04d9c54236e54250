"""Where things went: films at the working size, correspondences that they give, the motion that fits those."""
