"""Chapter 4: convolution, classic convolutional networks, augmentation, receptive fields."""
