"""Word vectors: the on-disk store, readers of foreign formats, building from parallel text."""
