"""The classic ways to look inside a convolutional network, at a desk, with PyTorch."""
