"""Measurements of the package's own parts against others, results proven equal first."""
