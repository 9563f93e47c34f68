"""HyperOFA: write the embeddings of a larger vocabulary, then continue pre-training, sharded.

After ``import hyperofa`` the Auto classes of transformers load models with factorised embeddings; neither torch nor
transformers is imported for that.
"""

from __future__ import annotations

from hyperofa.autoclasses import install

__version__ = "0.1.0"

install()
