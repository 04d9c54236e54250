"""Shapes that a silhouette alone may tell: balls, boxes, solids of revolution, discs on legs."""
