"""Run directories: sharded checkpoints with manifests, the model in the end, the lock."""
