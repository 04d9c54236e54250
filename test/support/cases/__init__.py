"""Inputs as tools and drivers hand them in: each case makes its own small input and says what came of it."""
