"""Chapter 3: optimisers, schedules, regularisation, normalisation, and the training loop."""
