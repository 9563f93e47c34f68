"""Token surfaces, special roles, overlap, word-token matching, extending a tokenizer."""
