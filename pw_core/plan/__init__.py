"""Plans: objectives as data, candidates in batches, and searches for the action sequence that serves best."""
