"""Rows that learn: new rows, and no others, learn from text through the frozen source model."""
