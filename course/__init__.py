"""The course runner: `python -m course --help` (also installed as the command `dl-course`)."""
