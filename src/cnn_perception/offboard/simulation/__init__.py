"""Simulated rooms (MuJoCo): RGB-D images with boxes, masks and poses, from a seed."""
