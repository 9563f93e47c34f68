"""Memory, hours and sizes of a run, from its config alone."""
