"""Replay of bags as a test: the nodes' own objects in lockstep, their answers checked."""
