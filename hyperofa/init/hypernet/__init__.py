"""Hypernetworks: from the set of a token's word vectors to its row; networks, data, losses, fitting."""
