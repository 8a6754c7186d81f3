"""Every function of the chapter that returns a figure."""
