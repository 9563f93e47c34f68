"""The built-in methods of initialisation, one file each; importing this package registers them."""

from __future__ import annotations

from hyperofa.init.methods import drawn, focus, hyperofa, means, ofa, ridge, wechsel

__all__ = ["drawn", "focus", "hyperofa", "means", "ofa", "ridge", "wechsel"]
