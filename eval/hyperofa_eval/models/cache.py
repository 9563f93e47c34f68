"""Vectors already computed, found by the hashes of model, tokenizer, settings and text; never by a name."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hyperofa_eval.base.files import write_bytes

log = logging.getLogger(__name__)

MEMORY_BYTES = 1 << 30
KEY_BYTES = 16


def text_key(text: str) -> bytes:
    """The 16 bytes by which a text is found."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


class VectorCache:
    """Vectors of texts, shape (blocks, D) each, in memory and, where a folder is given, on disk.

    ``scope`` names everything but the text that decides a vector. On disk a scope is a folder of safetensors shards,
    each written whole, so an interrupted run leaves only whole ones.
    """

    def __init__(self, root: Path | None, scope: str) -> None:
        self.folder = None if root is None else root / scope
        self.hits = self.misses = 0
        self._rows: dict[bytes, NDArray[np.float32]] = {}
        self._bytes = 0
        if self.folder is not None and self.folder.is_dir():
            for shard in sorted(self.folder.glob("*.safetensors")):
                self._read(shard)

    def find(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors (blocks, D) of those of ``texts`` that are here; counts hits and misses."""
        keys = {text: text_key(text) for text in texts}
        vectors = {text: self._rows[key] for text, key in keys.items() if key in self._rows}
        self.hits += len(vectors)
        self.misses += len(keys) - len(vectors)
        return vectors

    def put(self, texts: Sequence[str], vectors: NDArray[np.float32], *, write: bool) -> None:
        """Keep ``vectors`` (n, blocks, D); ``write`` also puts them on disk (one process of a run does)."""
        keys = [text_key(text) for text in texts]
        if self._bytes + vectors.nbytes <= MEMORY_BYTES:
            self._bytes += vectors.nbytes
            self._rows.update(zip(keys, vectors, strict=True))
        if not write or self.folder is None or not keys:
            return
        from safetensors.numpy import save

        joined = b"".join(keys)
        table = np.frombuffer(joined, dtype=np.uint8).reshape(-1, KEY_BYTES)
        shard = save({"keys": table, "vectors": np.ascontiguousarray(vectors)})
        write_bytes(self.folder / f"{hashlib.sha256(joined).hexdigest()[:16]}.safetensors", shard)

    def _read(self, shard: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            tensors = load_file(shard)
            keys, vectors = tensors["keys"], tensors["vectors"]
        except (SafetensorError, KeyError, OSError) as error:
            log.warning("%s: not a whole cache file (%s); its texts are encoded again", shard, error)
            return
        self._bytes += vectors.nbytes
        self._rows.update((key.tobytes(), row) for key, row in zip(keys, vectors, strict=True))
