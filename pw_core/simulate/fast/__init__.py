"""This project's own MPM on the CPU: the same equations and the same state as Genesis, many times faster."""
