"""OctoMap's map in blocks of cells."""
