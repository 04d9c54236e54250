"""What kernels of more than one stage are made of: lane vectors, threads."""
