"""The nodes, each written once: no ROS, no thread; a host runs them, live or in a replay."""
