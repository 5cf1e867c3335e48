"""What a replay is held to, and how what is not met is told and drawn."""
