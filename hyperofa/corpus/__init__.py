"""Text for pre-training: reading, sampling, tokenising, packing, order, masking."""
