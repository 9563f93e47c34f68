"""What came out of an experiment, gathered."""
