"""Continual pre-training: config, loop, engine, checkpoints, schedule, metrics, signals."""
