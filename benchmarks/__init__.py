"""Ours against the framework's, in the same process: `python -m benchmarks --help`."""
