"""Folders as tools leave them: which pictures, depth, cameras and masks are in them, and what is left out."""
