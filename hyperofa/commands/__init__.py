"""The commands of ``hyperofa``: thin over :mod:`hyperofa.api` and the rooms."""
