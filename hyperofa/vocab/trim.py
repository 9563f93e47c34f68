"""The smaller tokenizer that holds only the pieces that a text uses; its text is cut as before, its ids are dense."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from hyperofa.errors import HyperofaError, InputError
from hyperofa.vocab.change import token_ids
from hyperofa.vocab.learning.carry import with_backend
from hyperofa.vocab.learning.charclasses import character_class
from hyperofa.vocab.surfaces import backend_spec, byte_alphabet, family, model_words, token_surfaces
from hyperofa_eval.base.console import track
from hyperofa_eval.settings.fields import SettingError
from hyperofa_eval.text.textfiles import read_lines

_BATCH = 2_000  # lines cut at a time
_STRAY = 1_000  # a script that one letter in so many shows is one that the text is written in
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


@dataclass(frozen=True)
class Trimmed:
    """A smaller tokenizer, how many of its entries the text uses, and how many lines each language has."""

    tokenizer: Any
    used: int
    lines: Mapping[str, int]


def trim_vocabulary(source: Any, files: Mapping[str, Sequence[Path]], min_count: int) -> Trimmed:
    """``source`` with only the pieces that the text of ``files`` uses ``min_count`` times, and those that spelling needs.

    Kept besides: all added tokens and those with a role; byte pieces; pieces of one character that is no letter, or a letter
    of a script that the text is written in; for BPE the 256 bytes and what the pieces are merged from. Ids are numbered anew
    in the old order, without gaps. The text is cut as the source cuts it, which is checked for every line; with a
    ``min_count`` above 1, as the source would cut it if it did not have the pieces left out.

    Raises:
        InputError: a language has no text.
        HyperofaError: a line would be cut otherwise.
    """
    if not files:
        raise SettingError("text", "names no file")
    trimmer = _Trimmer(source)
    reader, left_out = source, set[str]()
    while True:
        text = _Uses(reader, files)
        rare = {piece for piece, times in text.uses.items() if times < min_count} - trimmer.spelling
        rare -= trimmer.closed(set(text.uses) - rare, left_out)
        if not rare:
            break
        left_out |= rare
        reader = trimmer.tokenizer(trimmer.all - left_out)
    needed = set(text.uses) | trimmer.characters(text.scripts()) | trimmer.starts_of_unknown(text.unknown)
    trimmed = trimmer.tokenizer(trimmer.closed(needed, left_out))
    _check(reader, trimmed, files)
    return Trimmed(trimmed, len(text.uses), text.lines)


def _batches(paths: Sequence[Path], label: str) -> Iterator[list[str]]:
    lines = (line for path in paths for line in track(read_lines(path), label) if line.strip())
    while batch := list(islice(lines, _BATCH)):
        yield batch


class _Uses:
    """How often a text uses each piece; its lines by language, its characters, and the words that WordPiece gives up on."""

    def __init__(self, tokenizer: Any, files: Mapping[str, Sequence[Path]]) -> None:
        backend, unknown = tokenizer.backend_tokenizer, tokenizer.unk_token_id
        gives_up = type(backend.model).__name__ == "WordPiece" and unknown is not None
        counts: Counter[int] = Counter()
        self.characters: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        self.unknown: set[str] = set()
        for language, paths in files.items():
            for batch in _batches(paths, f"reading {language}"):
                self.lines[language] += len(batch)
                for line, ids in zip(batch, token_ids(tokenizer, batch), strict=True):
                    self.characters.update(line)
                    counts.update(ids)
                    if gives_up and unknown in ids:
                        self.unknown.update(model_words(backend, line))
            if not self.lines[language]:
                where = f"{language}: {', '.join(map(str, paths))}"
                raise InputError("no words in the text", where=where, todo=f"give text of {language}, or leave it out")
        names = tokenizer.convert_ids_to_tokens(list(counts))
        self.uses = dict(zip(names, counts.values(), strict=True))

    def scripts(self) -> set[str]:
        """The scripts that the text is written in: those of one letter in a thousand, or more."""
        letters: Counter[str] = Counter()
        for character, times in self.characters.items():
            if (name := character_class(character)).startswith("letter:"):
                letters[name] += times
        return {name for name, times in letters.items() if times * _STRAY >= letters.total()}


def _check(before: Any, after: Any, files: Mapping[str, Sequence[Path]]) -> None:
    """Fail rather than hand out a tokenizer that cuts the text otherwise."""
    old, new = ({number: token for token, number in one.get_vocab().items()} for one in (before, after))
    for language, paths in files.items():
        for batch in _batches(paths, f"checking {language}"):
            for line, old_ids, new_ids in zip(batch, token_ids(before, batch), token_ids(after, batch), strict=True):
                if [old[number] for number in old_ids] == [new[number] for number in new_ids]:
                    continue
                raise HyperofaError(f"the trimmed tokenizer would cut {line[:60]!r} otherwise", where="trim")


class _Trimmer:
    """A source's ``tokenizer.json``, and the same with some of its pieces.

    Attributes:
        all: every piece of the model.
        fixed: the pieces that always stay.
        spelling: these, and all pieces of one character: what the text uses of them stays.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._spec = json.loads(source.backend_tokenizer.to_str())
        self._model = self._spec["model"]
        self._kind, self._family = self._model["type"], family(backend_spec(source))
        vocabulary = self._model["vocab"]
        self._order = (
            [piece for piece, _ in vocabulary] if self._kind == "Unigram" else sorted(vocabulary, key=vocabulary.get)
        )
        self.all = set(self._order)
        merges = (m if isinstance(m, list) else m.split(" ") for m in self._model.get("merges", []))
        self._merges: list[tuple[str, str]] = [(left, right) for left, right in merges]
        self._added = {token["content"] for token in self._spec["added_tokens"]} | set(source.all_special_tokens)
        bytes_ = (
            byte_alphabet() if self._family == "byte-level" else {piece for piece in self.all if _BYTE.fullmatch(piece)}
        )
        self.fixed = (self._added | set(bytes_)) & self.all
        if self._kind == "Unigram":
            if (unknown := self._model["unk_id"]) is not None:
                self.fixed.add(self._order[unknown])
            # The least score says what an unknown character costs.
            self.fixed.add(min(vocabulary, key=lambda entry: entry[1])[0])
        elif self._model.get("unk_token") in self.all:
            self.fixed.add(self._model["unk_token"])
        self._characters = {} if self._family == "byte-level" else self._single()
        self.spelling = self.fixed | set(self._characters)

    def _single(self) -> dict[str, str]:
        """The pieces of one character that text can be cut into, and the character."""
        surfaces, vocabulary = token_surfaces(self._source), self._source.get_vocab()
        characters = {}
        for piece in self._order:
            surface = surfaces[vocabulary[piece]]
            text = surface.text.decode("utf-8", "replace")
            if len(text) == 1 and surface.kind not in ("unreachable", "byte", "special"):
                characters[piece] = text
        return characters

    def closed(self, used: set[str], left_out: set[str]) -> set[str]:
        """``used``, with what always stays, and what BPE merges these pieces from without those ``left_out``."""
        pieces = (used | self.fixed) & (self.all - left_out)
        if self._kind != "BPE":
            return pieces
        ranks: dict[tuple[str, str], int] = {}
        for rank, merge in enumerate(self._merges):
            if left_out.isdisjoint((*merge, _joined(*merge, self._model))):
                ranks.setdefault(merge, rank)
        return pieces.union(*(_parts(piece, ranks, self._model) & self.all for piece in pieces - self._added))

    def characters(self, scripts: set[str]) -> set[str]:
        """Pieces of one character that is no letter, or a letter of these scripts; none of a byte-level tokenizer."""
        named = ((piece, character_class(character)) for piece, character in self._characters.items())
        return {piece for piece, name in named if name in scripts or not name.startswith("letter:")}

    def starts_of_unknown(self, words: set[str]) -> set[str]:
        """The pieces that WordPiece takes from the start of words before it gives up; without them it might not."""
        prefix, pieces = self._model.get("continuing_subword_prefix") or "", set[str]()
        for word in words:
            start = 0
            while start < len(word):
                head = prefix if start else ""
                ends = (end for end in range(len(word), start, -1) if head + word[start:end] in self.all)
                if (end := next(ends, None)) is None:
                    break
                pieces.add(head + word[start:end])
                start = end
        return pieces

    def tokenizer(self, pieces: set[str]) -> Any:
        """The source with only these pieces of its model; numbered anew, the added tokens beyond the model last."""
        from tokenizers import Tokenizer

        spec = json.loads(json.dumps({key: value for key, value in self._spec.items() if key != "model"}))
        order = [piece for piece in self._order if piece in pieces]
        beyond = sorted((t for t in spec["added_tokens"] if t["content"] not in self.all), key=lambda t: t["id"])
        ids = {piece: number for number, piece in enumerate([*order, *(token["content"] for token in beyond)])}
        for token in spec["added_tokens"]:
            token["id"] = ids[token["content"]]
        spec["added_tokens"].sort(key=lambda token: token["id"])
        spec["model"] = self._smaller(order, ids)
        _renumber(spec, ids)
        return with_backend(self._source, Tokenizer.from_str(json.dumps(spec)))

    def _smaller(self, order: Sequence[str], ids: Mapping[str, int]) -> dict[str, Any]:
        model = dict(self._model)
        if self._kind == "Unigram":
            pieces = set(order)
            if model["unk_id"] is not None:
                model["unk_id"] = ids[self._order[model["unk_id"]]]
            model["vocab"] = [entry for entry in model["vocab"] if entry[0] in pieces]
            return model
        model["vocab"] = {piece: ids[piece] for piece in order}
        if self._kind == "BPE":
            pieces = set(order)
            model["merges"] = [
                list(merge) for merge in self._merges if pieces.issuperset((*merge, _joined(*merge, self._model)))
            ]
        return model


def _joined(left: str, right: str, model: Mapping[str, Any]) -> str:
    """What a BPE merge makes."""
    prefix = model.get("continuing_subword_prefix") or ""
    return left + right.removeprefix(prefix) if prefix else left + right


def _parts(piece: str, ranks: Mapping[tuple[str, str], int], model: Mapping[str, Any]) -> set[str]:
    """What BPE makes of the characters of a piece on the way to it: the merges inside a token depend on nothing around it."""
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
    text = piece.removesuffix(suffix) if suffix else piece
    symbols = list(text)
    if prefix and piece.startswith(prefix):
        symbols = [f"{prefix}{character}" for character in text.removeprefix(prefix)]
    elif prefix:
        symbols = [symbols[0], *(f"{prefix}{character}" for character in symbols[1:])] if symbols else []
    if suffix and suffix != piece and piece.endswith(suffix) and symbols:
        symbols[-1] += suffix
    pieces = set(symbols)
    while len(symbols) > 1:
        rank, place = min((ranks.get(pair, len(ranks)), place) for place, pair in enumerate(pairwise(symbols)))
        if rank == len(ranks) and (symbols[place], symbols[place + 1]) not in ranks:
            break
        symbols[place : place + 2] = [_joined(symbols[place], symbols[place + 1], model)]
        pieces.add(symbols[place])
    return pieces


def _renumber(spec: dict[str, Any], ids: Mapping[str, int]) -> None:
    """Put new ids into the padding and the post-processor of a ``tokenizer.json``."""
    if spec.get("padding"):
        spec["padding"]["pad_id"] = ids.get(spec["padding"]["pad_token"], spec["padding"]["pad_id"])
    parts = [spec.get("post_processor") or {}]
    while parts:
        part = parts.pop()
        parts += part.get("processors", [])
        for key in ("sep", "cls"):
            if isinstance(part.get(key), list):
                part[key] = [part[key][0], ids[part[key][0]]]
        for token in (
            (part.get("special_tokens") or {}).values() if isinstance(part.get("special_tokens"), dict) else ()
        ):
            token["ids"] = [ids[name] for name in token["tokens"]]
