"""What a tokenizer does with characters that its vocabulary lacks, asked before any text is read."""

from __future__ import annotations

from typing import Any

_RARE = "ꀀ 𐎀 ᚠ 𓀀 ꔀ 𒀀 ᝀ Ꭰ ⴰ ☃"
"""Characters of scripts that few vocabularies hold, each a word of its own."""
UNKNOWN_TODO = "name an entry of its vocabulary as the unknown token (unk_id or unk_token in tokenizer.json)"


def unknown_problem(tokenizer: Any) -> str | None:
    """Why the (transformers) tokenizer fails on characters that it lacks; None if it does not.

    A unigram without ``unk_id`` does, WordPiece and BPE whose unknown token is no entry; not one that spells all text as
    bytes. The ``tokenizers`` library raises a bare exception there, in the middle of the text.
    """
    try:
        _cut(tokenizer)
    except Exception as error:  # noqa: BLE001  (the library raises no narrower kind)
        said = " ".join(str(error).split()).rstrip(".")
        return f"its tokenizer fails on every character that it lacks ({said})"
    return None


def drops_unknown(tokenizer: Any) -> bool:
    """Whether characters that the tokenizer lacks leave no token at all, as with a BPE without an unknown token."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or type(backend.model).__name__ != "BPE" or backend.model.unk_token is not None:
        return False
    cut = [tuple(ids) for ids in _cut(tokenizer)]
    return len(set(cut)) < len(cut)  # what is left of two of them is the same


def _cut(tokenizer: Any) -> list[list[int]]:
    """The ids of each rare word; none for a tokenizer written in Python, which has its own ways."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return []
    return [backend.encode(word, add_special_tokens=False).ids for word in _RARE.split()]
