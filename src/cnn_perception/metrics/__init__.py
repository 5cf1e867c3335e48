"""How good boxes and masks are, in plain numpy."""
