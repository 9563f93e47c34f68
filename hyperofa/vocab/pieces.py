"""The pieces with which one tokenizer spells the tokens of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperofa.vocab.contexts import spell
from hyperofa.vocab.surfaces import Surface, backend_spec, byte_alphabet, family


def spell_tokens(tokenizer: Any, surfaces: Sequence[Surface]) -> list[list[int]]:
    """The ids of ``tokenizer`` that spell each of another tokenizer's tokens; unknown pieces are left out.

    A token that stands inside words is spelled by pieces that do (``##ing``). Blanks and parts of characters are spelled byte by
    byte, or by the pieces of a byte-level tokenizer. A token without text, and one of which no piece is known, gets no ids.
    """
    spec = backend_spec(tokenizer)
    whole = [_text(surface) for surface in surfaces]
    spelled = spell(tokenizer, [text or "" for text in whole], [surface.boundary for surface in surfaces])
    for place, (surface, text) in enumerate(zip(surfaces, whole, strict=True)):
        if text is None:
            spelled[place] = _raw(tokenizer, spec, surface)
    unknown = tokenizer.unk_token_id
    return [
        [] if not surface.text or surface.role is not None else [i for i in ids if i != unknown]
        for surface, ids in zip(surfaces, spelled, strict=True)
    ]


def _text(surface: Surface) -> str | None:
    """The token's text; None where it is blank or no UTF-8."""
    try:
        text = surface.text.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text.strip() else None


def _raw(tokenizer: Any, spec: dict[str, Any], surface: Surface) -> list[int]:
    """Ids of bytes that no text stands for."""
    model = tokenizer.backend_tokenizer.model
    if family(spec) == "byte-level":
        letters = {byte: letter for letter, byte in byte_alphabet().items()}
        raw = (b" " if surface.boundary else b"") + surface.text
        return [token.id for token in model.tokenize("".join(letters[byte] for byte in raw))]
    byte_ids = [model.token_to_id(f"<0x{byte:02X}>") for byte in surface.text]
    known = [i for i in byte_ids if i is not None]
    if known or not (text := surface.text.decode("utf-8", errors="ignore").strip()):
        return known
    return spell(tokenizer, [text], [surface.boundary])[0]
