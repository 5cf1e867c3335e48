"""Recordings: rosbags and RGB-D folders, read, written, and scheduled for playing."""
