"""Replays in the tests of other packages."""
