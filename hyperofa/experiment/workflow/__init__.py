"""Stages of an experiment: the graph, what ran, running one."""
