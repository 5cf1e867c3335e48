"""The voxel engine: OctoMap's map in blocks of cells."""
