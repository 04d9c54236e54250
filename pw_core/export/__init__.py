"""Trajectories and films for other programs."""
