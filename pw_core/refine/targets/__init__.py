"""Target frames: what a rollout should have looked like, from a camera, a video model or somebody else's provider."""
