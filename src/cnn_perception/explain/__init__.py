"""Why a network answered as it did: live (ONNX graphs), and offline methods (PyTorch)."""
