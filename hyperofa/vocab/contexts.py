"""Tokenising a string as the start of a word or as the inside of one, in every family of tokenizers."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hyperofa.errors import InputError
from hyperofa.vocab.surfaces import backend_spec, components, model_words

BREAK, _NOWHERE = "\ue0ff", "\ue0fe"  # private use: a word key that holds one is malformed, so they are in no word


@dataclass(frozen=True)
class Context:
    """One way of tokenising a string: ``backend`` on ``prefix + string``; ``bounded``: it starts a word."""

    backend: Any
    prefix: str
    bounded: bool


def contexts_of(tokenizer: Any) -> list[Context]:
    """The ways to tokenise a string at the start of a word and, where the tokenizer tells them apart, inside one."""
    spec = backend_spec(tokenizer)
    never = _backend(tokenizer, spec, prefix=False)
    bare = never.encode("a", add_special_tokens=False).ids
    start = Context(never, " ", bounded=True)
    if never.encode(" a", add_special_tokens=False).ids == bare:  # leading spaces are lost (XLM-R, WordPiece)
        start = Context(_backend(tokenizer, spec, prefix=True), "", bounded=True)
    if start.backend.encode(f"{start.prefix}a", add_special_tokens=False).ids == bare:  # every string starts a word
        return [start]
    return [start, Context(never, "", bounded=False)]


def spell(tokenizer: Any, texts: Sequence[str], starts: Sequence[bool]) -> list[list[int]]:
    """The token ids that spell each text, at the start of a word where ``starts`` says so, else inside one.

    A WordPiece tokenizer takes every string for a word's start, so what continues a word goes to its model as such, in the
    form that its normalizer gives it. Where a tokenizer does not tell the two apart, both are spelled alike.
    """
    contexts = contexts_of(tokenizer)
    prefix = backend_spec(tokenizer)["model"]["continuing_subword_prefix"]
    spelled: list[list[int]] = [[] for _ in texts]
    for is_start, context in ((True, contexts[0]), (False, contexts[-1])):
        places = [place for place, start in enumerate(starts) if bool(start) is is_start]
        chosen = [texts[place] for place in places]
        if not is_start and prefix and context is contexts[0]:
            token_ids = [_continued(tokenizer.backend_tokenizer, text, prefix) for text in chosen]
        else:
            batch = [f"{context.prefix}{text}" for text in chosen]
            token_ids = [item.ids for item in context.backend.encode_batch_fast(batch, add_special_tokens=False)]
        for place, ids in zip(places, token_ids, strict=True):
            spelled[place] = list(ids)
    return spelled


def _continued(backend: Any, text: str, prefix: str) -> list[int]:
    """Ids of a text inside a word: its first piece, as WordPiece looks it up, bears the prefix that the later ones get.

    Not where the tokenizer starts a word with it all the same, as with punctuation and Chinese characters.
    """
    first, *later = model_words(backend, f"a{text}")
    rest = first.removeprefix("a")
    pieces = [f"{prefix}{rest}"] if rest else []
    return [token.id for word in (*pieces, *later) for token in backend.model.tokenize(word)]


def _backend(tokenizer: Any, spec: dict[str, Any], *, prefix: bool) -> Any:
    """A tokenizer on the same model, with its way of putting a boundary before the text switched on or off.

    The model is shared, not copied, and :data:`BREAK` is added as a token, so that one text can hold many strings.
    """
    from tokenizers import AddedToken, Tokenizer

    original = tokenizer.backend_tokenizer
    spec = copy.deepcopy(spec)
    for part in components(spec.get("pre_tokenizer")) + components(spec.get("normalizer")):
        if part["type"] == "Metaspace":
            part["prepend_scheme"] = "always" if prefix else "never"
        elif part["type"] == "ByteLevel":
            part["add_prefix_space"] = prefix
        elif part["type"] == "Prepend" and not prefix:
            part["prepend"] = ""
    spec["model"] = {"type": "WordLevel", "vocab": {}, "unk_token": ""}
    parts = Tokenizer.from_str(json.dumps(spec))
    model = original.model
    backend = Tokenizer(model)
    for name in ("normalizer", "pre_tokenizer"):
        if getattr(parts, name) is not None:
            setattr(backend, name, getattr(parts, name))
    for token_id, token in sorted(original.get_added_tokens_decoder().items()):
        beyond = model.token_to_id(token.content) is None
        if token.special and beyond:  # a special token's text inside a word is text, but those after it keep their ids
            backend.add_tokens([AddedToken(f"{_NOWHERE}{token_id}{_NOWHERE}", normalized=False)])
        elif not token.special:
            backend.add_tokens([token])
            if backend.token_to_id(token.content) != token_id:
                raise InputError(f"the added token {token.content!r} has an id that its tokenizer would not give it")
    following = backend.get_vocab_size()
    if backend.id_to_token(following) is not None:  # the vocabulary leaves ids out: the break would share one
        fill = range(following, max(backend.get_vocab().values()) + 1)
        backend.add_tokens([AddedToken(f"{_NOWHERE}fill{number}{_NOWHERE}", normalized=False) for number in fill])
    backend.add_special_tokens([AddedToken(BREAK, special=True, normalized=False)])
    return backend
