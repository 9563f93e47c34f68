"""A network from how a token is spelled to its row, learned on the source's own tokens spelled without themselves."""
