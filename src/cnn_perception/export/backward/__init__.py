"""The backward pass of ONNX graphs, as more ONNX nodes: vector-Jacobian products by operator."""
