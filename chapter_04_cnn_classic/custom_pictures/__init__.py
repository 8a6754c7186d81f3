"""The ten pictures of data/custom_imgs, drawn by the course (see draw_custom_imgs.py)."""
