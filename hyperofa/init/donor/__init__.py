"""A donor: another model that has rows for the target's tokens, and what is made of them."""
