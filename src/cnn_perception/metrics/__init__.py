"""How good boxes, masks and classes are, in plain numpy."""
