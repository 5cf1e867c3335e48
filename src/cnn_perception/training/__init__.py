"""Training and export of the shipped bundles; needs PyTorch, never imported by a node."""
