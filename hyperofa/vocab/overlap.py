"""Which source token each target token is: equal bytes and boundary, specials by role, folding only where asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperofa.vocab.roles import map_roles
from hyperofa.vocab.surfaces import Surface, token_surfaces

log = logging.getLogger(__name__)

HOW = ("none", "role", "exact", "isolated", "case", "boundary", "case+boundary")
"""How a target token met its source token: the values of :attr:`Overlap.how` are indices into this."""

_Key = tuple[bytes, bool]


@dataclass(frozen=True)
class Overlap:
    """The overlap of two vocabularies.

    ``source_ids`` is (V_t,) int64, -1 where the source has no such token; ``how`` is (V_t,) int8 into :data:`HOW`.
    """

    source_ids: np.ndarray
    how: np.ndarray

    @property
    def special_ids(self) -> np.ndarray:
        """(V_t,) int64: ``source_ids`` of the special tokens alone, -1 for all others."""
        return np.where(self.how == HOW.index("role"), self.source_ids, -1)

    @property
    def counts(self) -> dict[str, int]:
        """Target tokens by how they were met, and ``duplicated``: those that share their source row with another."""
        counts = {name: int(n) for name, n in zip(HOW, np.bincount(self.how, minlength=len(HOW)), strict=True)}
        used = self.source_ids[self.source_ids >= 0]
        times = np.bincount(used) if len(used) else np.zeros(0, dtype=np.int64)
        return counts | {"duplicated": int(times[times > 1].sum())}


def overlap(source: Any, target: Any, *, fold_case: bool = False, fold_boundary: bool = False) -> np.ndarray:
    """The source id of every target token, (V_t,) int64, or -1; see :func:`find_overlap`."""
    return find_overlap(source, target, fold_case=fold_case, fold_boundary=fold_boundary).source_ids


def find_overlap(source: Any, target: Any, *, fold_case: bool = False, fold_boundary: bool = False) -> Overlap:
    """Meet every target token with the source token of equal surface.

    Special tokens are mapped by role; other added specials by their text. Then, in this order: equal bytes and
    boundary; a token that WordPiece isolates (punctuation, Chinese characters) with either boundary; and only where
    asked, equal after lower-casing, equal but for the boundary, both. An uncased source cannot hold ``Dog``: without
    ``fold_case`` such targets are not met, with it ``dog``, ``Dog`` and ``DOG`` get one row, which
    :attr:`Overlap.counts` tells as ``duplicated``.

    Where several source tokens share a surface (a byte-fallback piece and its character), one of the target token's
    own kind wins, then any that is not a byte piece, then the smallest id: the result depends on the two vocabularies
    only.
    """
    target_surfaces, source_surfaces = token_surfaces(target), token_surfaces(source)
    specials = {surface.text: i for i, surface in enumerate(source_surfaces) if surface.role == "other"}
    by_role = map_roles(source, target)
    rungs = list(_rungs(source_surfaces, fold_case, fold_boundary))
    source_ids = np.full(len(target_surfaces), -1, dtype=np.int64)
    how = np.zeros(len(target_surfaces), dtype=np.int8)
    for target_id, surface in enumerate(target_surfaces):
        if surface.role is not None:
            source_id = by_role.get(target_id, -1) if surface.role != "other" else specials.get(surface.text, -1)
            source_ids[target_id], how[target_id] = source_id, HOW.index("role") if source_id >= 0 else 0
        elif surface.kind != "hole":
            for rung, look_up in rungs:
                source_id = look_up(surface)
                if source_id >= 0:
                    source_ids[target_id], how[target_id] = source_id, rung
                    break
    result = Overlap(source_ids, how)
    if (fold_case or fold_boundary) and (shared := result.counts["duplicated"]):
        log.info("folding: %d target tokens share their row with another", shared)
    return result


def _rungs(
    surfaces: list[Surface], fold_case: bool, fold_boundary: bool
) -> Iterator[tuple[int, Callable[[Surface], int]]]:
    """The look-ups to try in turn, each with its index into :data:`HOW`."""
    exact = _Table(surfaces, lambda s: (s.text, s.boundary)).find
    yield HOW.index("exact"), lambda s: -1 if s.kind == "isolated" else exact(s)
    yield HOW.index("isolated"), _isolated(surfaces)
    if fold_case:
        yield HOW.index("case"), _Table(surfaces, lambda s: (_lower(s.text), s.boundary)).find
    if fold_boundary:
        yield HOW.index("boundary"), _Table(surfaces, lambda s: (s.text, False)).find
    if fold_case and fold_boundary:
        yield HOW.index("case+boundary"), _Table(surfaces, lambda s: (_lower(s.text), False)).find


class _Table:
    """Source ids by a key of their surface; byte pieces apart, since they lose to plain pieces of the same bytes."""

    def __init__(self, surfaces: list[Surface], key: Callable[[Surface], _Key], *, prefer_folded: bool = True) -> None:
        self.key = key
        self.bytes: dict[_Key, int] = {}
        best: dict[_Key, tuple[bool, int]] = {}
        for token_id, surface in enumerate(surfaces):
            if surface.role is not None or surface.kind in {"hole", "unreachable"}:
                continue
            folded = key(surface)
            if surface.kind == "byte":
                self.bytes.setdefault(folded, token_id)
                continue
            # Among folded equals the one that is its own folded form comes first (``dog`` before ``Dog``).
            rank = (prefer_folded and folded != (surface.text, surface.boundary), token_id)
            if folded not in best or rank < best[folded]:
                best[folded] = rank
        self.plain = {folded: token_id for folded, (_, token_id) in best.items()}

    def find(self, surface: Surface) -> int:
        key, (first, second) = self.key(surface), (self.plain, self.bytes)
        if surface.kind == "byte":
            first, second = second, first
        return first.get(key, second.get(key, -1))


def _isolated(source_surfaces: list[Surface]) -> Callable[[Surface], int]:
    """Meet a token with either boundary where one side's pre-tokenizer isolates it: the flag says nothing there."""
    lone = [s if s.kind == "isolated" else Surface(b"", False, kind="hole") for s in source_surfaces]
    # The smaller id is the more frequent of ``,`` and ``▁,``.
    tables = [_Table(surfaces, lambda s: (s.text, False), prefer_folded=False) for surfaces in (lone, source_surfaces)]
    return lambda surface: tables[surface.kind == "isolated"].find(surface)


def _lower(text: bytes) -> bytes:
    try:
        return text.decode("utf-8").lower().encode("utf-8")
    except UnicodeDecodeError:  # part of a character has no case
        return text
