"""Chapter 6: sequences and recurrent networks."""
