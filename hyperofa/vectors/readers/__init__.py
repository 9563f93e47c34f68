"""Readers of foreign vector files."""
