"""The ROS side: parameters, quality of service, the worker thread, encoding; all rclpy is here."""
