"""What takes long: one module a job, none of which knows another. No ROS here."""
