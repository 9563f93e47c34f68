"""A model's tokenizer: loading it, what is wrong where that fails, its rows, and what it does with unknown characters."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from hyperofa_eval.base.errors import DataMissingError, InputError, first_line
from hyperofa_eval.base.quiet import quiet_transformers
from hyperofa_eval.text.filekinds import refuse_lfs_pointer

VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken", "tekken.json")
"""Files of which a tokenizer that has a vocabulary has one."""
_SAMPLE = 20
_RARE = "ꀀ 𐎀 ᚠ 𓀀 ꔀ 𒀀 ᝀ Ꭰ ⴰ ☃"
"""Characters of scripts that few vocabularies hold, each a word of its own."""
UNKNOWN_TODO = "name an entry of its vocabulary as the unknown token (unk_id or unk_token in tokenizer.json)"


def has_vocabulary(folder: Path) -> bool:
    """Whether a folder holds a file that a tokenizer can be made of."""
    return any(any(folder.glob(pattern)) for pattern in VOCABULARIES)


def rows_needed(tokenizer: Any) -> int:
    """How many rows a tokenizer's ids take: one more than its largest id, since a vocabulary may leave ids out."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def load_tokenizer(name: str, remote_code: bool = False) -> Any:
    """The tokenizer of a directory or hub id; refuses one without its files, for which transformers makes an empty one.

    Raises:
        DataMissingError: there is no tokenizer.
        InputError: it cannot be read, would cut text otherwise than its own SentencePiece file, or fails on characters that
            it lacks.
    """
    import transformers

    folder = Path(name)
    bare = folder.is_dir() and not has_vocabulary(folder)
    what = "no tokenizer in the directory (no tokenizer.json, vocabulary or SentencePiece file)"
    missing = DataMissingError(what, where=name, todo="save it there: tokenizer.save_pretrained(DIR)")
    try:
        with quiet_transformers():
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=remote_code)
    except Exception as error:  # transformers raises whatever a damaged file leads to
        if bare:
            raise missing from error
        refuse_lfs_pointer(folder)
        reason = sentencepiece_problem(folder) or first_line(error.__cause__ or error)
        raise InputError(f"cannot load its tokenizer ({reason})", where=name) from error
    # What transformers makes where it finds no vocabulary knows nothing but its special tokens.
    only_specials = len(tokenizer) <= len(tokenizer.all_special_tokens)
    if only_specials and (unreadable := sentencepiece_problem(folder)):
        raise InputError(f"cannot load its tokenizer ({unreadable})", where=name)
    # Byte-level tokenizers (ByT5) have no vocabulary file, and no text of theirs is unknown.
    if only_specials or (bare and getattr(tokenizer, "vocab_files_names", {})):
        raise missing
    if problem := misread_sentencepiece(tokenizer, folder):
        raise InputError(problem, where=name, todo="save its tokenizer.json there, or name its tokenizer_class")
    if problem := unknown_problem(tokenizer):
        raise InputError(problem, where=name, todo=UNKNOWN_TODO)
    return tokenizer


def sentencepiece_problem(folder: Path) -> str | None:
    """Why the SentencePiece file of a folder without ``tokenizer.json`` cannot be read; None where it is not to blame.

    transformers then tries to read it as a tiktoken file, and asks for that package.
    """
    file = min(folder.glob("*.model"), default=None)
    if file is None or (folder / "tokenizer.json").is_file():
        return None
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        return f"{file.name} needs the package sentencepiece; pip install sentencepiece protobuf"
    try:
        SentencePieceProcessor(model_file=str(file))
    except Exception:  # noqa: BLE001  (the library raises what its C++ raised)
        with file.open("rb") as handle:
            parts = handle.readline(200).split()
        if len(parts) == 2 and parts[1].isdigit():  # a token in base64, and its rank
            return f"{file.name} is a tiktoken file; save it as tokenizer.json with tokenizer.save_pretrained(DIR)"
        return f"{file.name} is no SentencePiece file, or damaged"
    return f"transformers cannot read {file.name} for this kind of model; save a tokenizer.json there"


def misread_sentencepiece(tokenizer: Any, folder: Path) -> str | None:
    """What differs where transformers made a tokenizer that cuts words otherwise than the SentencePiece file of its folder.

    It happens where nothing says which class the tokenizer is of, or where that class looks for a file of another name: words
    lose the mark of their beginning, or all of their pieces.
    """
    file = _sentencepiece_file(tokenizer, folder)
    if file is None:
        return None
    try:
        from sentencepiece import SentencePieceProcessor

        own = SentencePieceProcessor(model_file=str(file))
    except Exception:  # noqa: BLE001  (a tiktoken file under that name, or the library's own errors)
        return None
    text = " ".join(_words(own))
    expected = own.encode(text, out_type=str)
    actual = tokenizer.convert_ids_to_tokens(tokenizer.encode(text, add_special_tokens=False))  # unknown pieces as such
    differ = next(((a, b) for a, b in itertools.zip_longest(expected, actual, fillvalue="") if a != b), None)
    if differ is None:
        return None
    return f"transformers cuts {text[:20]!r} otherwise than its {file.name} ({differ[1]!r}, not {differ[0]!r})"


def _sentencepiece_file(tokenizer: Any, folder: Path) -> Path | None:
    """The SentencePiece file that a fast tokenizer was made of, or should have been."""
    if not getattr(tokenizer, "is_fast", False):
        return None
    vocab_file = getattr(tokenizer, "vocab_file", None)
    beside = [] if (folder / "tokenizer.json").is_file() else sorted(folder.glob("*.model"))
    files = [*([Path(vocab_file)] if vocab_file else []), *beside]
    return next((file for file in files if file.suffix == ".model" and file.is_file()), None)


def _words(own: Any) -> list[str]:
    """Words that are one piece of a SentencePiece model; where it has none, single letters."""
    pieces = [own.id_to_piece(i) for i in range(own.get_piece_size())]
    words = [piece[1:] for piece in pieces if piece.startswith("▁") and piece[1:].isalpha()]
    return (words or [piece for piece in pieces if len(piece) == 1 and piece.isalpha()])[:_SAMPLE]


def unknown_problem(tokenizer: Any) -> str | None:
    """Why the (transformers) tokenizer fails on characters that it lacks; None if it does not.

    A unigram without ``unk_id`` does, WordPiece and BPE whose unknown token is no entry; not one that spells all text as
    bytes. The ``tokenizers`` library raises a bare exception there, in the middle of the text.
    """
    try:
        _cut(tokenizer)
    except Exception as error:  # noqa: BLE001  (the library raises no narrower kind)
        message = " ".join(str(error).split()).rstrip(".")
        return f"its tokenizer fails on every character that it lacks ({message})"
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
