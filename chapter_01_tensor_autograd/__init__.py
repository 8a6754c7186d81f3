"""Chapter 1: automatic differentiation, from one scalar to a tensor engine on NumPy."""
