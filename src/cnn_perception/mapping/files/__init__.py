"""Maps as files and streams."""
