"""The commands of ``hyperofa-eval``."""
