"""Metrics, intervals, nearest neighbours."""
