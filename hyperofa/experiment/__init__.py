"""Recipes: fetching inputs, splitting, and running the stages of an experiment."""
