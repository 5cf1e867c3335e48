"""The demonstration: a recorded drive through the four real nodes, and a page about it."""
