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
EVIDENCE = {"pieces": 1, "words": 2, "donor": 4}
"""The bits of what was known of a predicted token: source pieces that spell it, word vectors, a donor's row."""
FILE = "provenance.safetensors"


@dataclass(frozen=True)
class Provenance:
    """One entry per row of the target matrix.

    Attributes:
        code: (V,) int8, an index into :data:`NAMES`.
        source_id: (V,) int64 source token a row was copied from, or -1.
        n_words: (V,) int32 number of word vectors matched to the token.
        evidence: (V,) int8, what a predicted row was made of: bits of :data:`EVIDENCE`. 0 for all other rows, for predicted ones
            that are made of nothing about the token (the mean row), and throughout where nothing is given.
    """

    code: np.ndarray
    source_id: np.ndarray
    n_words: np.ndarray
    evidence: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """No evidence, where none is given."""
        import numpy as np

        if self.evidence is None:
            object.__setattr__(self, "evidence", np.zeros(len(self.code), dtype=np.int8))

    @property
    def counts(self) -> dict[str, int]:
        """Rows per provenance, all names present."""
        import numpy as np

        return {name: int(n) for name, n in zip(NAMES, np.bincount(self.code, minlength=len(NAMES)), strict=True)}

    @property
    def evidence_counts(self) -> dict[str, int]:
        """Predicted rows by what they were made of (``pieces+words`` of both, ``none`` of nothing about the token)."""
        import numpy as np

        counts = np.bincount(self.evidence[self.code == PREDICTED], minlength=1)
        return {evidence_name(bits): int(n) for bits, n in enumerate(counts) if n}

    def save(self, folder: Path) -> None:
        """Write ``provenance.safetensors`` into ``folder``."""
        from safetensors.numpy import save_file

        arrays = {"code": self.code, "source_id": self.source_id, "n_words": self.n_words, "evidence": self.evidence}
        save_file(arrays, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Provenance:
        """Read ``provenance.safetensors`` from a model directory; see :func:`read` for what is raised.

        One of an earlier version says nothing of evidence, which is then 0 throughout.
        """
        tensors = read(folder, "code", "source_id", "n_words", perhaps=("evidence",))
        return cls(tensors["code"], tensors["source_id"], tensors["n_words"], tensors.get("evidence"))  # type: ignore[arg-type]


def evidence_name(bits: int) -> str:
    """What a mask of :data:`EVIDENCE` is called: ``pieces+words``, or ``none``."""
    return "+".join(name for name, bit in EVIDENCE.items() if bits & bit) or "none"


def read(model: str | Path, *names: str, perhaps: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The arrays called ``names`` in the provenance of a model directory or hub id, and those of ``perhaps`` that it has.

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
        return {name: tensors[name] for name in (*names, *(name for name in perhaps if name in tensors))}
    except (SafetensorError, KeyError) as error:
        raise InputError(f"not a provenance of tokens ({error})", where=path, todo=todo) from None


def new_rows(model: str | Path) -> np.ndarray:
    """Mask (V,) bool of a model's new rows: all but special tokens and those copied from the source; see :func:`read`."""
    import numpy as np

    return ~np.isin(read(model, "code")["code"], (SPECIAL, COPIED))


def trace(
    source_ids: np.ndarray, n_words: np.ndarray, special: np.ndarray, predictable: np.ndarray, evidence: np.ndarray
) -> Provenance:
    """The provenance of every target token (HyperOFA, §3.4).

    Args:
        source_ids: (V,) source token that each target token is, or -1.
        n_words: (V,) word vectors matched to each token.
        special: (V,) bool, the special tokens.
        predictable: (V,) bool, those of which enough is known, copied or not; other new ones are drawn.
        evidence: (V,) int8, what is known of them: bits of :data:`EVIDENCE`.
    """
    import numpy as np

    code = np.full(len(source_ids), DRAWN, dtype=np.int8)
    code[predictable] = PREDICTED
    code[source_ids >= 0] = COPIED
    code[special] = SPECIAL
    used = np.where(code == PREDICTED, evidence, 0).astype(np.int8)
    return Provenance(code, source_ids.astype(np.int64), n_words.astype(np.int32), used)
