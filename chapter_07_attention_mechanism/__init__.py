"""Chapter 7: the attention mechanism."""
