"""What a browser shows beside the picture, a file a subject."""
