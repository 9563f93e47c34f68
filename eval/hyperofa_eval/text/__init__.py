"""Text files, and text as a tokenizer sees it."""
