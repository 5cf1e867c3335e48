"""Training of networks; needs PyTorch, never imported by a node."""
