"""Recordings: reading, writing, playing and replaying rosbags and RGB-D folders."""
