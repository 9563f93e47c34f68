"""The canonical form of a token, (bytes, word-boundary), comparable across all families of tokenizers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np

from hyperofa.errors import InputError
from hyperofa.vocab.roles import token_roles

Kind = Literal["piece", "byte", "isolated", "unreachable", "special", "hole"]
_BLANK = " \t\n\r\x0b\x0c"  # what bytes.strip takes away
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Surface(NamedTuple):
    """What a token stands for in text.

    ``text`` are its bytes without the boundary, ``boundary`` says whether a word starts with it. ``role`` is set for
    special tokens (``cls`` … of :data:`hyperofa.vocab.roles.ROLES`, or ``other``). ``kind`` is ``byte`` for a
    byte-fallback piece ``<0xE4>``, ``isolated`` for a token that its pre-tokenizer cuts out with or without a space
    before it (BERT's punctuation and Chinese characters: their boundary flag says nothing), ``unreachable`` for one
    that its tokenizer can never produce (BERT's ``##,``: its row was never trained, so nobody should copy it),
    ``hole`` for an id without a token.
    """

    text: bytes
    boundary: bool
    role: str | None = None
    kind: Kind = "piece"


def token_surfaces(tokenizer: Any) -> list[Surface]:
    """The surface of every token id, 0 … largest id (ids without a token are ``hole``).

    ``tokenizer`` is a fast transformers tokenizer. Two tokens of one tokenizer may share a surface: a byte-fallback
    piece and the character itself.

    Raises:
        InputError: the tokenizer has no Rust backend, or marks word boundaries in none of the known ways.
    """
    spec = backend_spec(tokenizer)
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    roles = token_roles(tokenizer)
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    reader = _reader(tokenizer, spec)
    surfaces = [Surface(b"", False, kind="hole")] * (max(vocabulary.values(), default=-1) + 1)
    for piece, token_id in vocabulary.items():
        if token_id in roles or (token_id in added and added[token_id].special):
            role = roles.get(token_id, "other")
            surfaces[token_id] = Surface(piece.encode("utf-8", "surrogatepass"), False, role, "special")
        elif token_id in added:  # found in the text as it is written, whether the model has it too or not
            surfaces[token_id] = _literal(piece)
        else:
            surfaces[token_id] = reader(piece)
    return surfaces


def readable_tokens(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """Tokens as a person reads them: pieces of byte-level BPE as the text that they are (``Ġardı``, not ``ĠardÄ±``).

    Pieces that are no whole characters, or none that can be printed, stay as the vocabulary has them.
    """
    pieces: list[str] = tokenizer.convert_ids_to_tokens(list(ids))
    try:
        kind = family(backend_spec(tokenizer))
    except InputError:  # it marks words in no known way
        return pieces
    return [_readable(piece) for piece in pieces] if kind == "byte-level" else pieces


def _readable(piece: str) -> str:
    surface = _byte_level(piece)
    try:
        text = surface.text.decode("utf-8")
    except UnicodeDecodeError:
        return piece
    return f"{'Ġ' if surface.boundary else ''}{text}" if text.isprintable() else piece


def tokens_with_text(tokenizer: Any) -> np.ndarray:
    """(V,) bool: no special token, no hole and not blank, as :func:`token_surfaces` says; in a tenth of its time.

    Raises:
        InputError: as :func:`token_surfaces`.
    """
    spec = backend_spec(tokenizer)
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    prefix = spec["model"].get("continuing_subword_prefix") or ""
    reader, roles = _reader(tokenizer, spec), token_roles(tokenizer)
    marks = [part["replacement"] for part in _parts(spec) if part.get("type") == "Metaspace"]
    blank = "".join({"▁", *marks, *_BLANK, *(c for c, byte in byte_alphabet().items() if chr(byte) in _BLANK)})
    has_text = np.zeros(max(vocabulary.values(), default=-1) + 1, dtype=bool)
    has_text[np.fromiter(vocabulary.values(), dtype=np.int64, count=len(vocabulary))] = True
    # Only a piece made of nothing but characters that can stand for blanks, or a byte's, can be blank; few are looked at.
    few = [piece for piece in vocabulary if not piece.removeprefix(prefix).strip(blank) or piece.startswith("<0x")]
    for piece in few:
        has_text[vocabulary[piece]] = bool(reader(piece).text.strip())
    for token_id, token in tokenizer.backend_tokenizer.get_added_tokens_decoder().items():
        has_text[token_id] = not token.special and bool(_literal(token.content).text.strip())
    has_text[list(roles)] = False
    return has_text


def backend_spec(tokenizer: Any) -> dict[str, Any]:
    """The content of the tokenizer's ``tokenizer.json`` but for the vocabulary, which can be 250,000 lines long.

    ``model`` holds its ``type``, ``continuing_subword_prefix`` and ``byte_fallback`` only. Raises :class:`InputError`
    for a tokenizer without a Rust backend.
    """
    from tokenizers import Tokenizer, models

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
        raise InputError("a tokenizer without a fast (Rust) backend", where=name, todo="use one with a tokenizer.json")
    hollow = Tokenizer(models.WordLevel({}, unk_token=""))
    for part in ("normalizer", "pre_tokenizer", "decoder", "post_processor"):
        if getattr(backend, part) is not None:
            setattr(hollow, part, getattr(backend, part))
    spec: dict[str, Any] = json.loads(hollow.to_str())
    model = backend.model
    spec["model"] = {"type": type(model).__name__}
    for key in ("continuing_subword_prefix", "byte_fallback"):
        spec["model"][key] = getattr(model, key, None)
    return spec


def model_words(backend: Any, text: str) -> list[str]:
    """The words that a tokenizer of the ``tokenizers`` library gives to its model: ``text`` normalised and cut."""
    if backend.normalizer is not None:
        text = backend.normalizer.normalize_str(text)
    if backend.pre_tokenizer is None:
        return [text]
    return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)]


def family(spec: dict[str, Any]) -> str:
    """``wordpiece``, ``byte-level`` or ``sentencepiece``, from the content of a ``tokenizer.json``.

    Raises:
        InputError: none of the three; the message names what was looked for.
    """
    model = spec.get("model") or {}
    parts = _parts(spec)
    if any(part.get("type") == "ByteLevel" for part in parts):
        return "byte-level"
    if any(part.get("type") == "Metaspace" or _replaces_space(part) for part in parts):
        return "sentencepiece"
    if model.get("type") in {"WordPiece", "WordLevel"}:
        return "wordpiece"
    raise InputError(
        f"a {model.get('type')} tokenizer that marks word boundaries in no known way",
        where="tokenizer.json",
        todo="known: ByteLevel (Ġ), Metaspace or a space replaced by ▁, WordPiece (##)",
    )


def components(part: dict[str, Any] | None) -> list[dict[str, Any]]:
    """A normalizer, pre-tokenizer or decoder as the flat list of its components."""
    if not part:
        return []
    for key in ("normalizers", "pretokenizers", "decoders"):
        if part.get("type") == "Sequence" and key in part:
            return [inner for item in part[key] for inner in components(item)]
    return [part]


@cache
def byte_alphabet() -> dict[str, int]:
    """Character to byte of byte-level BPE: printable Latin-1 stands for itself, the other bytes for U+0100 onwards."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in set(plain)]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + index): byte for index, byte in enumerate(rest)}


def _reader(tokenizer: Any, spec: dict[str, Any]) -> Callable[[str], Surface]:
    kind = family(spec)
    if kind == "byte-level":
        return _byte_level
    if kind == "sentencepiece":
        return _sentencepiece_reader(tokenizer, spec)
    return _wordpiece_reader(tokenizer, spec)


def _byte_level(piece: str) -> Surface:
    alphabet = byte_alphabet()
    try:
        raw = bytes([alphabet[character] for character in piece])
    except KeyError:  # an added token is stored as it is, outside the byte alphabet
        return _literal(piece)
    return Surface(raw[1:], True) if raw.startswith(b" ") else Surface(raw, False)


def _sentencepiece_reader(tokenizer: Any, spec: dict[str, Any]) -> Callable[[str], Surface]:
    parts = _parts(spec)
    marks = [part["replacement"] for part in parts if part.get("type") == "Metaspace"]
    mark = marks[0] if marks else "▁"
    model = tokenizer.backend_tokenizer.model
    names = ("<0x00>", "<0xFF>")  # unigram models do not tell their byte_fallback; all 256 are there or none
    has_bytes = all(model.token_to_id(name) is not None for name in names)

    def read(piece: str) -> Surface:
        if has_bytes and (match := _BYTE_PIECE.fullmatch(piece)):
            return Surface(bytes.fromhex(match[1]), False, kind="byte")
        return _literal(piece.replace(mark, " "))

    return read


def _wordpiece_reader(tokenizer: Any, spec: dict[str, Any]) -> Callable[[str], Surface]:
    prefix = spec["model"].get("continuing_subword_prefix") or ""
    backend = tokenizer.backend_tokenizer

    def read(piece: str) -> Surface:
        inner = bool(prefix) and piece.startswith(prefix) and piece != prefix
        text = piece[len(prefix) :] if inner else piece
        if len(text) == 1 and text in model_words(backend, f"a{text}a"):
            return Surface(text.encode("utf-8"), not inner, kind="unreachable" if inner else "isolated")
        return Surface(text.encode("utf-8"), not inner)

    return read


def _parts(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for key in ("normalizer", "pre_tokenizer", "decoder") for part in components(spec.get(key))]


def _literal(text: str) -> Surface:
    raw = text.encode("utf-8", "surrogatepass")
    return Surface(raw[1:], True) if raw.startswith(b" ") else Surface(raw, False)


def _replaces_space(part: dict[str, Any]) -> bool:
    if part.get("type") != "Replace":
        return False
    pattern = (part.get("pattern") or {}).get("String")
    return (pattern, part.get("content")) in {(" ", "▁"), ("▁", " ")}
