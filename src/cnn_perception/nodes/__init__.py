"""The lifecycle nodes: each callback is decode, core call, encode, publish."""
