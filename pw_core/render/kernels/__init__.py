"""What the CPU rasteriser compiles: harmonics, projection, depth order and tile lists, blending, with their gradients.
`pw_core.render.image` calls them."""
