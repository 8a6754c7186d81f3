"""Chapter 2: neural network basics. Layers, losses and initialisation by hand, and the MLP."""
