"""HyperOFA: write the embeddings of a larger vocabulary, then continue pre-training, sharded.

After ``import hyperofa`` the Auto classes of transformers load models with factorised embeddings. Neither torch nor
transformers is imported for that, and the functions below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hyperofa.autoclasses import install

if TYPE_CHECKING:
    from hyperofa.api.vectors import build_vectors, import_vectors, load_vectors

__version__ = "0.1.0"

_HOMES = {
    "build_vectors": "hyperofa.api.vectors",
    "import_vectors": "hyperofa.api.vectors",
    "load_vectors": "hyperofa.api.vectors",
}
"""Where each public function is defined."""

__all__ = ["__version__", "build_vectors", "import_vectors", "load_vectors"]

install()


def __getattr__(name: str) -> Any:
    """Load a public function when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hyperofa' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
