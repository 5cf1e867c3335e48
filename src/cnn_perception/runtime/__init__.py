"""Model bundles and the ONNX Runtime sessions that run them."""
