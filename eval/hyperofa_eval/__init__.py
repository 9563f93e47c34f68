"""Zero-shot cross-lingual evaluation: sentence retrieval and tagging; never imports hyperofa but in one adapter."""

__version__ = "0.1.0"
