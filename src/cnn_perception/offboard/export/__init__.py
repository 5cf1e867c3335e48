"""From a PyTorch network to a model bundle that robots run, proven equal on the way."""
