"""People counted in a zone of the image."""
