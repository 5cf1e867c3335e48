"""PyTorch networks that the shipped bundles are trained from; never imported by a node."""
