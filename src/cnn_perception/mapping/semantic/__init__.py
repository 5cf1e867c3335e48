"""Classes of the map's cells."""
