"""Chapter 5: residual networks and modern convolutional networks."""
