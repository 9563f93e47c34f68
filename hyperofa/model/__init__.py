"""Factorised embedding and head, model families, the masked loss, dense export."""
