"""How the source would spell a token if it did not have it: its own tokens without themselves, and new ones."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

Pieces = list[int]
_BREAK = "\ue0ff"  # private use: stands in a text for what is no character
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_IMPOSSIBLE = float("-inf")


@dataclass(frozen=True)
class Spellings:
    """The pieces of n tokens, one after the other.

    Attributes:
        starts: (n + 1,) int64: token i has the pieces from ``starts[i]`` on; none where it cannot be spelled.
        pieces: (p,) int64 source ids.
        lengths: (n,) int64 characters of each token, where that is known.
    """

    starts: np.ndarray
    pieces: np.ndarray
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @classmethod
    def of(cls, spelled: Sequence[Sequence[int]]) -> Spellings:
        """From one list of pieces a token."""
        counts = np.fromiter(map(len, spelled), dtype=np.int64, count=len(spelled))
        flat = np.fromiter((piece for one in spelled for piece in one), dtype=np.int64, count=int(counts.sum()))
        return cls(np.concatenate([[0], np.cumsum(counts)]), flat)

    @property
    def counts(self) -> np.ndarray:
        """(n,) int64: how many pieces each has."""
        return np.diff(self.starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of_token(self, index: int) -> np.ndarray:
        """The pieces of one token."""
        return self.pieces[self.starts[index] : self.starts[index + 1]]

    def chosen(self, ids: np.ndarray) -> Spellings:
        """Those of the tokens ``ids`` (m,) alone."""
        counts = self.counts[ids]
        starts = np.concatenate([[0], np.cumsum(counts)])
        places = np.repeat(self.starts[ids] - starts[:-1], counts) + np.arange(starts[-1])
        return Spellings(starts, self.pieces[places])

    def finer(self, cut: np.ndarray, table: Spellings) -> Spellings:
        """The same with the pieces where ``cut`` (p,) bool is set replaced by what ``table`` spells them with, if it does."""
        cut = cut & (table.counts[self.pieces] > 0)
        lengths = np.where(cut, table.counts[self.pieces], 1)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        offsets = np.arange(ends[-1]) - np.repeat(ends[:-1], lengths)
        places = np.repeat(np.where(cut, table.starts[self.pieces], 0), lengths) + offsets
        pieces = np.where(
            np.repeat(cut, lengths), table.pieces[places] if len(table.pieces) else 0, np.repeat(self.pieces, lengths)
        )
        return Spellings(ends[self.starts], pieces)

    def without(self, hidden: np.ndarray, table: Spellings) -> Spellings:
        """The same without the tokens ``hidden`` (V_s,) bool, spelled by ``table`` in turn; nothing where they cannot be."""
        spelled = self
        while (cut := hidden[spelled.pieces] & (table.counts[spelled.pieces] > 0)).any():
            spelled = spelled.finer(cut, table)
        unspelled = np.unique(np.repeat(np.arange(len(spelled)), spelled.counts)[hidden[spelled.pieces]])
        if not len(unspelled):
            return spelled
        is_unspelled = np.isin(np.arange(len(spelled)), unspelled)
        pieces = spelled.pieces[~np.repeat(is_unspelled, spelled.counts)]
        return Spellings(np.concatenate([[0], np.cumsum(np.where(is_unspelled, 0, spelled.counts))]), pieces)


class Source:
    """The source's tokenizer, asked how it spells.

    Attributes:
        own: the pieces (ids) of each token 0 ... size - 1 in the source's other tokens, as if it were not there, and lengths.
            Unigram: the most probable path without it; BPE: its merges up to the last; WordPiece: the longest matches without
            it. Characters that are no token are spelled by byte tokens where there are any. Special tokens, added tokens and
            what has no such spelling get none.
    """

    def __init__(self, tokenizer: Any, size: int) -> None:
        """Spell the first ``size`` tokens of the tokenizer of a source."""
        self.tokenizer, self.size = tokenizer, size
        backend = tokenizer.backend_tokenizer
        model: dict[str, Any] = json.loads(backend.to_str())["model"]
        entries = model.get("vocab") or {}
        ids_of = entries if isinstance(entries, dict) else {piece: i for i, (piece, _) in enumerate(entries)}
        left_out = set(tokenizer.all_special_ids) | set(backend.get_added_tokens_decoder())
        self._names = {name: i for name, i in ids_of.items() if i < size and i not in left_out}
        self._inner = (model.get("continuing_subword_prefix") or "") if model.get("type") == "WordPiece" else ""
        self._longest = max(map(len, self._names), default=1)
        self._texts = [_BREAK] * size
        lengths = np.zeros(size, dtype=np.int64)
        for name, token in self._names.items():
            self._texts[token] = _BREAK if _BYTE.fullmatch(name) else name
            lengths[token] = len(name.removeprefix(self._inner))
        spell = _SPELLERS.get(model.get("type", ""), _nothing)(model, self._names)
        spelled: list[Pieces] = [[] for _ in range(size)]
        for piece, token in self._names.items():
            spelled[token] = spell(piece)
        self.own = dataclasses.replace(Spellings.of(spelled), lengths=lengths)

    def inside(self, spelled: Spellings, hidden: np.ndarray | None = None) -> Spellings:
        """The longest tokens that lie within the text of each of ``spelled``, in order, but for that text itself.

        A token that lies within another one is left out, and so are single characters and those that ``hidden`` (V_s,) says.
        """
        whole = spelled.pieces.tolist()
        ends = spelled.starts.tolist()
        return Spellings.of([self._within(whole[a:b], hidden) for a, b in pairwise(ends)])

    def _within(self, pieces: Pieces, hidden: np.ndarray | None) -> Pieces:
        inner, names = self._inner, self._names
        parts = [self._texts[piece] for piece in pieces]
        starts_inside = bool(inner and parts and parts[0].startswith(inner))
        text = "".join(part.removeprefix(inner) for part in parts) if inner else "".join(parts)
        size, reach = len(text), 0
        tokens: Pieces = []
        for begin in range(size - 1):
            for end in range(min(size, begin + self._longest), max(begin + 1, reach), -1):
                if end - begin == size:
                    continue
                token = names.get(inner + text[begin:end] if begin or starts_inside else text[begin:end])
                if token is not None and (hidden is None or not hidden[token]):
                    tokens.append(token)
                    reach = end
                    break
        return tokens

    def spell(self, target_tokenizer: Any, ids: np.ndarray) -> Spellings:
        """The pieces of the target tokens ``ids`` (m,) in the source's own tokens; unknown ones are left out."""
        from hyperofa.vocab.pieces import spell_tokens
        from hyperofa.vocab.surfaces import token_surfaces

        surfaces = token_surfaces(target_tokenizer)
        spelled = spell_tokens(self.tokenizer, [surfaces[token] for token in ids])
        return Spellings.of([[i for i in pieces if i < self.size] for pieces in spelled])


def _bytes_of(names: dict[str, int]) -> Callable[[str], Pieces | None]:
    """Byte tokens of a character, from names ``<0xE4>``; None where there are none."""
    table = {byte: names[f"<0x{byte:02X}>"] for byte in range(256) if f"<0x{byte:02X}>" in names}

    def spell(character: str) -> Pieces | None:
        encoded = character.encode("utf-8", "surrogatepass")
        return [table[byte] for byte in encoded] if all(byte in table for byte in encoded) else None

    return spell


def _unigram(model: dict[str, Any], names: dict[str, int]) -> Callable[[str], Pieces]:
    scores: list[float] = [score for _, score in model["vocab"]]
    longest = max(map(len, names), default=1)
    worst = min(scores, default=0.0) - 10.0
    in_bytes = _bytes_of(names)

    def spell(text: str) -> Pieces:
        size = len(text)
        best = [0.0] + [_IMPOSSIBLE] * size
        back: list[tuple[int, Pieces]] = [(0, [])] * (size + 1)
        for begin in range(size):
            so_far = best[begin]
            if so_far == _IMPOSSIBLE:
                continue
            for end in range(begin + 1, min(size, begin + longest) + 1):
                if end - begin == size:  # the token itself
                    continue
                token = names.get(text[begin:end])
                if token is not None and so_far + scores[token] > best[end]:
                    best[end], back[end] = so_far + scores[token], (begin, [token])
            if so_far + worst > best[begin + 1] and (byte_pieces := in_bytes(text[begin])) is not None:
                best[begin + 1], back[begin + 1] = so_far + worst, (begin, byte_pieces)
        if best[size] == _IMPOSSIBLE:
            return []
        parts: list[Pieces] = []
        while size:
            size, part = back[size]
            parts.append(part)
        return [piece for part in reversed(parts) for piece in part]

    return spell


def _bpe(model: dict[str, Any], names: dict[str, int]) -> Callable[[str], Pieces]:
    merges = (tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"])
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    never = len(ranks)
    in_bytes = _bytes_of(names)

    def spell(text: str) -> Pieces:
        if len(text) < 2:
            token_ids = in_bytes(text) if text else None
            return token_ids if token_ids and names.get(text) not in token_ids else []
        parts = list(text)
        while len(parts) > 2:  # the merge of the last two is the token itself
            order = [ranks.get(pair, never) for pair in pairwise(parts)]
            rank = min(order)
            if rank == never:
                break
            at = order.index(rank)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        pieces: Pieces = []
        for part in parts:
            token = names.get(part)
            token_ids = [token] if token is not None else in_bytes(part) if len(part) == 1 else None
            if token_ids is None:
                return []
            pieces += token_ids
        return pieces

    return spell


def _wordpiece(model: dict[str, Any], names: dict[str, int]) -> Callable[[str], Pieces]:
    prefix = model.get("continuing_subword_prefix") or "##"
    longest = max(map(len, names), default=1)

    def spell(text: str) -> Pieces:
        inside = text.startswith(prefix) and len(text) > len(prefix)
        rest, first = (text[len(prefix) :], prefix) if inside else (text, "")
        pieces: Pieces = []
        while rest:
            ends = range(min(len(rest) - (not pieces), longest), 0, -1)  # the first piece is not the token itself
            end = next((end for end in ends if first + rest[:end] in names), None)
            if end is None:
                return []
            pieces.append(names[first + rest[:end]])
            rest, first = rest[end:], prefix
        return pieces

    return spell


def _nothing(model: dict[str, Any], names: dict[str, int]) -> Callable[[str], Pieces]:
    return lambda text: []


_SPELLERS = {"Unigram": _unigram, "BPE": _bpe, "WordPiece": _wordpiece}
