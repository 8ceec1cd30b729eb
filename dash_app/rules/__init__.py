"""What a reading means: changes, problems, expectations. Pure functions, but for the state."""
