"""Data folders: their layout, reading, checking and fetching them."""
