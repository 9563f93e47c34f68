"""Models to score: loading, vectors of texts, losses, taggers."""
