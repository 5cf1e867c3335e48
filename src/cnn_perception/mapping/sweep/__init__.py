"""Depth images into the voxel engine cell by cell."""
