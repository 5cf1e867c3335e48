"""What is done off the robot: data, training, export, simulation, benchmarks. No node loads it."""
