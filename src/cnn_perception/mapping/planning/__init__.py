"""What planners ask of a map."""
