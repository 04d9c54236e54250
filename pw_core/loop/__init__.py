"""The closed loop over rounds: rollout, refine, commit; films from disk, a ledger that survives crashes, a page."""
