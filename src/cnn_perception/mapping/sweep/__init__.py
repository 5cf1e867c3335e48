"""Depth images into the map cell by cell."""
