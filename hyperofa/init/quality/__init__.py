"""What is measured of an initialised model, and its record."""
