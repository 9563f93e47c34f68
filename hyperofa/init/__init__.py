"""Initialisation: factorisation, the methods, the hypernetworks, assembling the extended model."""
