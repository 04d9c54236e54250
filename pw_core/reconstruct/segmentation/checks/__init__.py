"""Whether masks and sizes are what was meant: doubts in words, each with a remedy."""
