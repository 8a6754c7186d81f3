"""The classic networks, one file each, in an ImageNet form and a small-image form."""
