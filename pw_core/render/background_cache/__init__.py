"""A still background, drawn once a camera: frames through that camera pay for their moving foreground alone.

`prepare` and `rasterize_over` (prepare.py) are what others call; `over` merges a frame's Gaussians into the prepared
tiles on the CPU. On CUDA both sets are drawn together.
"""
