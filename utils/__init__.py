"""The toolbox of the course: everything that is not a lesson. It imports no chapter."""
