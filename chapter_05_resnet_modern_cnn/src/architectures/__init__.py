"""Modern convolutional networks, one file each: drop-in with torchvision, with a small form."""
