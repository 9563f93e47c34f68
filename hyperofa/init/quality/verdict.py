"""What the extended model does beside its source with the source's own tokenizer, on text that nothing has learned from."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hyperofa.init.quality.kept_out import CHARACTERS, Plan, Side, affordable, alike, kept_text
from hyperofa.init.quality.verdict_words import line_of, warning_of
from hyperofa_eval.models.encoding import EncodeSettings
from hyperofa_eval.models.loading import wrap
from hyperofa_eval.scoring.search import ranks
from hyperofa_eval.scoring.statistics import Floats, Items, draws_of, hits, interval

if TYPE_CHECKING:
    from hyperofa.data.given_text import GivenText
    from hyperofa.model import Source

log = logging.getLogger(__name__)

FEW = 10
"""Lines or pairs of a language below which nothing is said of it."""
MANY_PAIRS = 100
"""Pairs of a language (median) from which on top-10 decides; of fewer, chance alone has many among the first ten: top-1."""
MASKED = 0.15
"""Share of the words that a masked model is asked for."""
BITS = "bits_per_character"
TOP = {"top1": 1, "top10": 10}

Record = dict[str, Any]


class Measured(NamedTuple):
    """Of one side, by language: items of each metric, tokens, unknown tokens of each line; and the block vectors come from."""

    items: dict[str, dict[str, Items]]
    tokens: dict[str, int]
    unknown: dict[str, Floats]
    block: int | None


def verdict_of(
    source: Source, source_tokenizer: Any, model: Any, tokenizer: Any, text: GivenText, seed: int, prompt: str = ""
) -> Record:
    """What ``init.json`` holds under ``verdict``: figures by language of the source and of the extended model.

    Decoders: bits per character, the negative log2-likelihood of a line's tokens behind the tokenizer's start (bos, or eos
    where there is none; an end is not asked for) over the line's characters. Masked models: the same of 15 % of the words,
    chosen from the text so that both are asked for the same ones, all pieces of a word hidden together. Sources without a
    trained head have no such figure. A line in which one of the two asks for an unknown token has no part in it: that token
    is easy to foresee, and hides what it stands for. Encoders with pairs: top-1 and top-10 retrieval by the mean state after
    two thirds of the blocks, ``prompt`` standing before every text and the pivot's sentence being the query. All of it is the
    harness's own (``lm`` and ``sr-t``).

    A language is better or worse where the 95 % interval of the paired bootstrap over its lines leaves out 0; worse, where it is
    so in any of the figures.

    Raises:
        InputError: a model's output is not finite.
    """
    began = time.monotonic()
    sides = Side(source.model, source_tokenizer, "the source"), Side(model, tokenizer, "the extended model")
    causal = source.family.objective == "causal"
    head = "none" if source.head_is_new else "causal" if causal else "masked"
    plan = affordable(alike(kept_text(text, pairs=not causal), sides, prompt), sides, head=head != "none")
    kept = plan.kept
    own, extended = (measured(side, plan, head, seed, prompt) for side in sides)
    languages: dict[str, Record] = {}
    for name, lines in sorted(kept.lines.items()):
        sizes = {"lines": len(lines), "characters": sum(map(len, lines)), "words": sum(len(x.split()) for x in lines)}
        languages[name] = sizes | {"tokens": {"own": own.tokens[name], "extended": extended.tokens[name]}}
    spreads: dict[str, dict[str, Floats]] = {}
    for metric, items in own.items.items():
        for name in sorted(items):
            both = items[name], extended.items[metric][name]
            if metric == BITS:
                spelled = (own.unknown[name] == 0) & (extended.unknown[name] == 0)
                languages[name]["unknown_lines"] = int((~spelled).sum())
                both = _of(both[0], spelled), _of(both[1], spelled)
            if not len(both[0]):
                continue
            languages[name][metric], spread = compare(*both, f"{metric} {name}", metric in TOP)
            n = languages[name][metric]["n"]
            if metric in TOP:
                languages[name][metric]["chance"] = round(100 * min(TOP[metric] / n, 1), 4)
            if n >= FEW:
                spreads.setdefault(metric, {})[name] = spread
    pairs = [len(rows) for rows in kept.pairs.values()]
    decides = [BITS] if head != "none" else []
    decides += ["top10" if np.median(pairs) >= MANY_PAIRS else "top1"] if pairs else []
    record: Record = {"head": head, "block": own.block, "pivot": kept.pivot, "decides": decides}
    record |= {"lines_at_most": plan.most, "characters_at_most": CHARACTERS}
    record |= {"numbers": "bfloat16" if plan.bfloat16 else "float32", "languages": languages}
    record["mean"] = {metric: mean(languages, metric, spread) for metric, spread in sorted(spreads.items())}
    for row in languages.values():
        said = [row[metric]["verdict"] for metric in decides if metric in row]
        said += ["unknown tokens"] if row.get("unknown_lines", 0) >= FEW else []
        order = ("worse", "better", "no different", "unknown tokens", "too little text")
        row["verdict"] = next((word for word in order if word in said), None)
    record = {"line": line_of(record), **record}
    if warning := warning_of(record):
        log.warning("%s", warning)
    log.info("measured beside the source in %.1f s", time.monotonic() - began)
    return record


def measured(side: Side, plan: Plan, head: str, seed: int, prompt: str = "") -> Measured:
    """The figures of one side; ``head`` is ``causal``, ``masked`` or ``none``."""
    kept = plan.kept
    items: dict[str, dict[str, Items]] = {}
    unknown: dict[str, Floats] = {}
    tokens = {name: sum(side.lengths(lines)) for name, lines in kept.lines.items()}
    with side.on_device(bfloat16=plan.bfloat16):
        scored = wrap(side.model, side.tokenizer, side.name, prompt=prompt)
        if head != "none":
            lines = [line for rows in kept.lines.values() for line in rows]
            table = np.array(scored.text_losses(lines, MASKED, seed))  # nats, tokens, characters, unknown tokens
            ends = np.cumsum([len(rows) for rows in kept.lines.values()])
            for name, end in zip(kept.lines, ends, strict=True):
                part = table[end - len(kept.lines[name]) : end]
                items.setdefault(BITS, {})[name] = Items(part[:, 0] / np.log(2), part[:, 2], 1.0)
                unknown[name] = part[:, 3]
        block = None
        if texts := kept.in_pairs():
            settings = EncodeSettings()
            (block,) = scored.blocks(settings)
            vectors = dict(zip(texts, scored.encode(texts, settings), strict=True))
            for name, pairs in kept.pairs.items():
                queries, index = (np.stack([vectors[pair[i]] for pair in pairs]) for i in (0, 1))
                place = ranks(queries, index)
                for metric, k in TOP.items():
                    items.setdefault(metric, {})[name] = hits(place < k)
    return Measured(items, tokens, unknown, block)


def compare(own: Items, extended: Items, name: str, more_is_better: bool) -> tuple[Record, Floats]:
    """Both figures, their difference (extended less own) with its interval, n and what that says; and the difference's draws."""
    spread = draws_of(extended, name) - draws_of(own, name)  # one name and one n: the same resamples
    row = _row(own.value(), extended.value(), spread, more_is_better) | {"n": len(own)}
    return row | ({"verdict": "too little text"} if len(own) < FEW else {}), spread


def mean(languages: dict[str, Record], metric: str, spreads: dict[str, Floats]) -> Record:
    """The mean of a figure over the languages of ``spreads`` (their draws), which are drawn apart."""
    own, extended = (
        float(np.mean([languages[name][metric][side] for name in spreads])) for side in ("own", "extended")
    )
    return _row(own, extended, np.mean(list(spreads.values()), axis=0), metric in TOP) | {"languages": len(spreads)}


def _of(items: Items, kept: np.ndarray) -> Items:
    return Items(items.num[kept], items.den[kept], items.scale)


def _row(own: float, extended: float, spread: Floats, more_is_better: bool) -> Record:
    low, high = interval(spread)
    said = "no different" if low <= 0 <= high else "better" if (low > 0) == more_is_better else "worse"
    values = {"own": own, "extended": extended, "difference": extended - own}
    figures = {name: round(value, 4) for name, value in values.items()}
    return figures | {"ci95": [round(low, 4), round(high, 4)], "verdict": said}
