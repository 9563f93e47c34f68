"""Text and models to work with: wheels, message catalogues, parallel text, splits, test sets."""
