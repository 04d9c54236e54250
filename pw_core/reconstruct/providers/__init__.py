"""What may stand in for the guesses of the single-photo lift: depth from a model, more views from a video model."""
