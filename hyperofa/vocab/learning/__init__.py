"""Training a tokenizer and extending one: the text it learns from, its pieces, what of the source stays."""
