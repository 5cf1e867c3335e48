"""Objects in an image: default boxes, box decoding, suppression, and the detector itself."""
