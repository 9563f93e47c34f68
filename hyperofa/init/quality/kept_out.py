"""The text that two models with tokenizers of their own are measured on: the same characters for both, as much as time allows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from hyperofa.base.device import multiplies_bfloat16
from hyperofa_eval.languages import PIVOTS
from hyperofa_eval.models.encoder import positions
from hyperofa_eval.tasks.language_modelling import cut, spaced
from hyperofa_eval.text.plain_text import PlainText

if TYPE_CHECKING:
    from hyperofa.data.given_text import GivenText

log = logging.getLogger(__name__)

LINES, CHARACTERS = 200, 512
"""Lines of a language, and pairs, that are measured at most; characters of a line, cut at a space."""
LEAST_LINES = 20
"""Lines of a language that are measured however long it takes."""
WORK = 1e13
"""Multiplications and additions that float32 may take on a CPU, for both models together: under two minutes on two cores."""
FASTER = {"bfloat16": 2.5, "cuda": 50.0}
"""How much faster bfloat16 products are where the processor has them, and how much faster a GPU is."""

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Kept:
    """Kept-out text: lines by language, and pairs (pivot's side, translation) by language."""

    lines: dict[str, list[str]]
    pairs: dict[str, Pairs]
    pivot: str | None

    def in_pairs(self) -> list[str]:
        """Every text of the pairs once."""
        return list(dict.fromkeys(text for pairs in self.pairs.values() for pair in pairs for text in pair))

    def texts(self) -> list[str]:
        """Every text once."""
        return list(dict.fromkeys([*(line for lines in self.lines.values() for line in lines), *self.in_pairs()]))

    def first(self, most: int) -> Kept:
        """At most ``most`` lines and pairs of a language, evenly spaced."""
        lines = {name: [rows[i] for i in spaced(len(rows), most)] for name, rows in self.lines.items()}
        pairs = {name: [rows[i] for i in spaced(len(rows), most)] for name, rows in self.pairs.items()}
        return replace(self, lines=lines, pairs=pairs)

    def cut(self, shown: Mapping[str, str]) -> Kept:
        """The same text, each cut as ``shown`` says."""
        lines = {name: [shown[line] for line in rows] for name, rows in self.lines.items()}
        pairs = {name: [(shown[a], shown[b]) for a, b in rows] for name, rows in self.pairs.items()}
        return replace(self, lines=lines, pairs=pairs)


class Side(NamedTuple):
    """A model in memory with its tokenizer, and what to call it."""

    model: Any
    tokenizer: Any
    name: str

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, specials apart."""
        return [len(row) for row in PlainText(self.tokenizer).ids(texts)]

    def reach(self, prompt: str = "") -> int:
        """Tokens of text that the model reads at once, beside the specials around it, a start of ours, and a prompt."""
        most = min(self.tokenizer.model_max_length, positions(self.model.base_model))
        before = self.lengths([prompt])[0] if prompt else 0
        return max(1, most - self.tokenizer.num_special_tokens_to_add() - 1 - before)

    @property
    def device(self) -> torch.device:
        """A GPU where there is one with room for the model, else the CPU."""
        size = sum(p.numel() * p.element_size() for p in self.model.parameters())
        has_room = torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > 1.5 * size
        return torch.device("cuda" if has_room else "cpu")

    @contextmanager
    def on_device(self, *, bfloat16: bool) -> Iterator[None]:
        """Within the block the model is on :attr:`device`, perhaps with products in bfloat16; then it is as before.

        Sums, norms, softmax and losses are float32's.
        """
        home, device = next(self.model.parameters()).device, self.device
        self.model.to(device)
        try:
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                yield
        finally:
            self.model.to(home)
            if device.type != home.type:
                torch.cuda.empty_cache()  # the next model's room

    def work(self, texts: Sequence[str], *, head: bool) -> float:
        """Multiplications and additions that reading the texts takes: all blocks and the head, or two thirds of the blocks."""
        body = self.model.base_model
        per_token = sum(p.numel() for name, p in body.named_parameters() if "embed" not in name)
        scores = self.model.config.get_text_config().vocab_size * body.config.get_text_config().hidden_size
        return 2.0 * (per_token + scores if head else per_token * 2 / 3) * sum(self.lengths(texts))


def kept_text(text: GivenText, *, pairs: bool) -> Kept:
    """At most :data:`LINES` lines and pairs of each language; English is the pivot where there is English."""
    lines = text.all_lines()
    texts = text.parallel.texts if pairs else {}
    biggest = sorted(texts, key=lambda name: (-len(texts[name]), name))
    pivot = next((name for name in (*PIVOTS, *biggest) if name in (texts or lines)), None)
    pairs_by_language: dict[str, Pairs] = {}
    for name, rows in sorted(texts.items()):
        if name != pivot and pivot is not None:
            both = sorted(rows.keys() & texts[pivot].keys(), reverse=True)
            # A sentence of the pivot once: its twins would be wrong answers to each other.
            pairs_by_language[name] = list({texts[pivot][number]: rows[number] for number in both}.items())
    return Kept(lines, {name: rows for name, rows in pairs_by_language.items() if rows}, pivot).first(LINES)


def alike(kept: Kept, sides: Sequence[Side], prompt: str = "") -> Kept:
    """Texts cut at a character, the same for all sides, so that every model reads them whole behind ``prompt``."""
    texts = kept.texts()
    shown = [next(iter(cut(text, CHARACTERS)), text) for text in texts]
    reach = [side.reach(prompt) for side in sides]
    while True:
        long = np.any([np.array(side.lengths(shown)) > most for side, most in zip(sides, reach, strict=True)], axis=0)
        if not long.any():
            return kept.cut(dict(zip(texts, shown, strict=True)))
        shown = [text[: len(text) // 2] if much else text for text, much in zip(shown, long, strict=True)]


class Plan(NamedTuple):
    """What is measured: the text, the most lines that a language has, and whether products are bfloat16's."""

    kept: Kept
    most: int
    bfloat16: bool


def affordable(kept: Kept, sides: Sequence[Side], *, head: bool) -> Plan:
    """All of the text in float32 if that takes minutes at most, else in bfloat16 where that is faster, else fewer lines.

    Bfloat16's rounding depends on which texts share a batch, and moves a hit or two of two hundred.
    """
    device = sides[-1].device
    room = WORK * FASTER.get(device.type, 1.0)
    texts = kept.texts() if head else kept.in_pairs()
    needed = sum(side.work(texts, head=head) for side in sides)
    if needed <= room:
        return Plan(kept, LINES, bfloat16=False)
    bfloat16 = multiplies_bfloat16(device)
    room *= FASTER["bfloat16"] if bfloat16 else 1.0
    most = LINES if needed <= room else max(LEAST_LINES, int(LINES * room / needed))
    return Plan(kept.first(most), most, bfloat16)
