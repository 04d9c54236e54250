"""What cameras and other programs hand in, read in one place: pictures, depth, films, tables, and whole folders."""
