"""Searches over the unit cube: each asks for points and is told their costs."""
