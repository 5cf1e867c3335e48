"""The nodes of a replay: core objects between a bag's messages and those they would publish."""
