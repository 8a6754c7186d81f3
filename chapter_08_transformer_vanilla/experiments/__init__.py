"""What stands behind the scripts: tasks, measurements and tables."""
