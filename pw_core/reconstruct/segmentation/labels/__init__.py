"""Which Gaussians are of which entity, and masks that agree with them."""
