"""The closed loop: target frames correct appearance and physics of a rollout."""
