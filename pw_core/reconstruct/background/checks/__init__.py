"""Whether what was found of table, wall and light goes with the scene file."""
