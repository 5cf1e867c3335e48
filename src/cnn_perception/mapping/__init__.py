"""Occupancy mapping: transforms, projection, OctoMap-exact maps and pictures of them."""
