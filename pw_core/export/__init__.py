"""Scenes, trajectories and films for other programs, and Gaussians from them."""
