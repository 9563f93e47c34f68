"""Where each target row came from: one code per token, the table of counts, and the file beside the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hyperofa.base.hub import local_folder
from hyperofa.errors import DataMissingError, InputError

if TYPE_CHECKING:
    import numpy as np

SPECIAL, COPIED, PREDICTED, DRAWN, PADDING = range(5)
NAMES = ("special", "copied", "predicted", "drawn", "padding")
"""What the codes are called, in every report; ``padding`` are rows appended beyond the tokenizer."""
FILE = "provenance.safetensors"


@dataclass(frozen=True)
class Provenance:
    """One entry per row of the target matrix.

    Attributes:
        code: (V,) int8, an index into :data:`NAMES`.
        source_id: (V,) int64 source token a row was copied from, or -1.
        n_words: (V,) int32 number of word vectors matched to the token.
    """

    code: np.ndarray
    source_id: np.ndarray
    n_words: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        """Rows per provenance, all names present."""
        import numpy as np

        return {name: int(n) for name, n in zip(NAMES, np.bincount(self.code, minlength=len(NAMES)), strict=True)}

    def save(self, folder: Path) -> None:
        """Write ``provenance.safetensors`` into ``folder``."""
        from safetensors.numpy import save_file

        save_file({"code": self.code, "source_id": self.source_id, "n_words": self.n_words}, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Provenance:
        """Read ``provenance.safetensors`` from a model directory; see :func:`read` for what is raised."""
        tensors = read(folder, "code", "source_id", "n_words")
        return cls(tensors["code"], tensors["source_id"], tensors["n_words"])


def read(model: str | Path, *names: str) -> dict[str, np.ndarray]:
    """The arrays called ``names`` in the provenance of a model directory or hub id.

    Raises:
        DataMissingError: the model has no provenance.
        InputError: it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = local_folder(str(model), [FILE]) / FILE
    todo = "use a directory made by hyperofa init"
    if not path.is_file():
        raise DataMissingError("no provenance of the tokens", where=path, todo=todo)
    try:
        tensors = load_file(path)
        return {name: tensors[name] for name in names}
    except (SafetensorError, KeyError) as error:
        raise InputError(f"not a provenance of tokens ({error})", where=path, todo=todo) from None


def new_rows(model: str | Path) -> np.ndarray:
    """Mask (V,) bool of a model's new rows: all but special tokens and those copied from the source; see :func:`read`."""
    import numpy as np

    return ~np.isin(read(model, "code")["code"], (SPECIAL, COPIED))


def trace(source_ids: np.ndarray, n_words: np.ndarray, special: np.ndarray, predictable: np.ndarray) -> Provenance:
    """The provenance of every target token (HyperOFA, §3.4).

    Args:
        source_ids: (V,) source token that each target token is, or -1.
        n_words: (V,) word vectors matched to each token.
        special: (V,) bool, the special tokens.
        predictable: (V,) bool, those that the method can predict, known or not; other new ones are drawn.
    """
    import numpy as np

    code = np.full(len(source_ids), DRAWN, dtype=np.int8)
    code[predictable] = PREDICTED
    code[source_ids >= 0] = COPIED
    code[special] = SPECIAL
    return Provenance(code, source_ids.astype(np.int64), n_words.astype(np.int32))
