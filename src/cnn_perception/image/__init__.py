"""Images: raw and compressed encodings, network input and its inverse, overlays."""
