"""HyperOFA: write the embeddings of a larger vocabulary, then continue pre-training, sharded.

After ``import hyperofa`` the Auto classes of transformers load models with factorised embeddings. Neither torch nor
transformers is imported for that, and the functions below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hyperofa.autoclasses import install

if TYPE_CHECKING:
    from hyperofa.api.corpora import prepare_corpus
    from hyperofa.api.models import Extended, initialise
    from hyperofa.api.tokenizers import extend_tokenizer, train_tokenizer, trim_tokenizer
    from hyperofa.api.vectors import build_vectors, import_vectors, load_vectors
    from hyperofa.model import export_dense

__version__ = "0.2.0"

_HOMES = {
    "Extended": "hyperofa.api.models",
    "build_vectors": "hyperofa.api.vectors",
    "export_dense": "hyperofa.model",
    "extend_tokenizer": "hyperofa.api.tokenizers",
    "import_vectors": "hyperofa.api.vectors",
    "initialise": "hyperofa.api.models",
    "load_vectors": "hyperofa.api.vectors",
    "prepare_corpus": "hyperofa.api.corpora",
    "train_tokenizer": "hyperofa.api.tokenizers",
    "trim_tokenizer": "hyperofa.api.tokenizers",
}
"""Where each public function is defined."""

__all__ = [
    "Extended",
    "__version__",
    "build_vectors",
    "export_dense",
    "extend_tokenizer",
    "import_vectors",
    "initialise",
    "load_vectors",
    "prepare_corpus",
    "train_tokenizer",
    "trim_tokenizer",
]

install()


def __getattr__(name: str) -> Any:
    """Load a public function when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hyperofa' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
