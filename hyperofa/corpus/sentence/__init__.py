"""Sentences with the vectors that a source model gives them or their translations: what ``objective: sentence`` trains on."""
