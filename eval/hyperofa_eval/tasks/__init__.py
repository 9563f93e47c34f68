"""Tasks, protocols and the registry of both."""
