"""A fast MPM engine for one NVIDIA GPU: many worlds at once, the same equations and state as Genesis has here.

Nothing here imports torch or touches a GPU until a `CudaEngine` is made.
"""
