"""A bundle measured on labelled images: figures, curves, and where it fails."""
