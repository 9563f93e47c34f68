"""Recipes: their schema, how they are read and resolved."""
