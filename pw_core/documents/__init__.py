"""YAML and JSON as it comes from outside, and what is wrong with it in words."""
