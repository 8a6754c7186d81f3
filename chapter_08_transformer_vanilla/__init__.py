"""Chapter 8: the Transformer."""
