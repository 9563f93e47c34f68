"""What tests of several rooms write as input."""
