"""Hidden source tokens: the spelling network beside one linear map and the mean of pieces, in rows and in the model's loss.

    python benchmarks/init/spelling_network.py --source DIR --text FILE ... [--learn FILE ...] [--tokens 1500] [--lines 300]

At least ``--tokens`` tokens that occur in the text are hidden, with every token of the same lower-cased surface: the learning has
them neither to learn nor as pieces of others. They are then predicted from how the source spells them without any hidden token.
With ``--learn`` the network also learns through the frozen model, from these files; hidden are then tokens of the text that
these files do not hold, under any of their surface's forms. What it gave before that is reported as ``network-rows``.
Three predictions are compared: the network's, one linear map's (ridge regression from the mean, first and last row of the pieces)
and the mean of the pieces. On an encoder all three are at the source's mean length, as in the method; under a decoder's head they
are as predicted, and half of each with half the mean of pieces, which the method takes, is reported beside them. They are scored
by cosine to the true row, and by the frozen model on ``--lines`` lines of the text that hold such tokens, with their rows
replaced: a decoder's loss of the next token, an encoder's 1 - cosine of the sentence's mean state to the one with the true rows.
The last line is one JSON with paired 95 % intervals (bootstrap over tokens, and over lines); exit code 1 where the network is not
above both others in both, with an interval above 0.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from hyperofa.data.given_text import GivenText, part_text
from hyperofa.init.evidence import surface_groups
from hyperofa.init.methods.ridge import rescale
from hyperofa.init.refine.body import Body
from hyperofa.init.refine.sentences import tokenise
from hyperofa.init.refine.source_loss import SourceLoss
from hyperofa.init.spelling.candidates import lacking_place, linear_map, passes_over
from hyperofa.init.spelling.fit import fit
from hyperofa.init.spelling.learner import Known, Learner, Scale, cosines, finer_like, mean_of_pieces, order_of
from hyperofa.init.spelling.settings import NetworkSettings
from hyperofa.init.spelling.spell import Source as Speller
from hyperofa.init.spelling.through_model import Learnable, ModelRows, learn_through
from hyperofa.model import load_source
from hyperofa.vocab.report import load_tokenizer
from hyperofa_eval.scoring.statistics import interval
from hyperofa_eval.text.plain_text import PlainText
from hyperofa_eval.text.textfiles import read_lines
from hyperofa_eval.text.tokenizer import rows_needed

OURS, RIVALS = "network", ("linear", "pieces")
_LONGEST, _BATCH, _LEARNED = 96, 16, 20_000


def main() -> int:
    """Hide, learn, predict and compare; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--text", type=Path, nargs="+", required=True)
    parser.add_argument("--learn", type=Path, nargs="+", default=[])
    parser.add_argument("--tokens", type=int, default=1500, help="to hide")
    parser.add_argument("--lines", type=int, default=300)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--place", type=float, default=NetworkSettings().place)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    source, tokenizer = load_source(args.source, seed=args.seed), load_tokenizer(args.source)
    rows = source.input_embeddings.float().numpy()[: rows_needed(tokenizer)].copy()
    causal = source.family.objective == "causal"
    lines = [line for path in args.text for line in read_lines(path) if line.strip()]
    encoded = PlainText(tokenizer)(lines, truncation=True, max_length=_LONGEST)["input_ids"]
    began = time.monotonic()
    speller = Speller(tokenizer, len(rows))
    spelled_in = time.monotonic() - began
    groups = surface_groups(tokenizer, len(rows))
    learned, unseen = learning_text(tokenizer, args.learn, len(rows))
    hidden = choose(encoded, (speller.own.counts > 0) & ~np.isin(groups, groups[~unseen]), groups, args.tokens, rng)
    model = None
    if args.learn:
        body = Body(source, None, torch.device("cpu"))
        model = SourceLoss(part_text(GivenText(learned), args.seed), tokenizer, body, source, None, args.seed)
    known, wanted, predicted, facts = predict(speller, rows, groups, hidden, causal, model, unseen, args)
    report: dict[str, Any] = {
        "source": Path(args.source).name,
        "hidden": int(hidden.sum()),
        "predicted": len(wanted),
        **facts,
    }
    report["seconds"]["spelling"] = round(spelled_in, 1)
    report["rank"] = {name: median_rank(rows, known, rows_by_name) for name, rows_by_name in predicted.items()}
    scores = {
        name: cosines(rows_by_name - rows.mean(axis=0), rows[known] - rows.mean(axis=0))
        for name, rows_by_name in predicted.items()
    }
    report["cosine"] = compared(scores, rng, higher=True)
    there = np.isin(np.arange(len(rows)), known)
    told = [ids for ids in encoded if there[ids].any()]
    told = [told[i] for i in rng.permutation(len(told))[: args.lines]]
    losses = frozen_losses(source.model, rows, known, predicted, told, causal=causal)
    report["loss"] = compared(losses, rng, higher=False) | {"lines": len(told)}
    report["floors_hold"] = all(
        report[part]["network_above"][rival]["ci95"][0] > 0 for part in ("cosine", "loss") for rival in RIVALS
    )
    print(json.dumps(report))
    return 0 if report["floors_hold"] else 1


def choose(
    encoded: list[list[int]], may: np.ndarray, groups: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """(V,) bool: whole groups of tokens, drawn until ``count`` that occur in the text and ``may`` (V,) bool allows are hidden."""
    seen = np.zeros(len(groups), dtype=bool)
    seen[np.concatenate([np.asarray(ids) for ids in encoded])] = True
    seen &= may
    names = rng.permutation(np.unique(groups[seen]))
    sizes = np.bincount(groups[seen], minlength=groups.max() + 1)[names]
    taken = names[: int(np.searchsorted(np.cumsum(sizes), count)) + 1]
    return np.isin(groups, taken) & may


def learning_text(tokenizer: Any, paths: list[Path], size: int) -> tuple[dict[str, list[str]], np.ndarray]:
    """The lines to learn from by file, and (V,) bool: tokens that none of them holds."""
    unseen = np.ones(size, dtype=bool)
    texts = {}
    for path in paths:
        texts[path.stem] = [line for line in read_lines(path) if len(line) > 30][:_LEARNED]
        for row in tokenise(tokenizer, texts[path.stem], 10**6)[0]:
            unseen[row] = False
    print({name: len(lines) for name, lines in texts.items()}, "lines to learn from", file=sys.stderr)
    return texts, unseen


def predict(
    speller: Speller,
    rows: np.ndarray,
    groups: np.ndarray,
    hidden: np.ndarray,
    causal: bool,
    model: SourceLoss | None,
    unseen: np.ndarray,
    args: argparse.Namespace,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
    """Ids (n,) of hidden tokens that the others spell, their rows (n, r), three predictions of them, and facts."""
    began = time.monotonic()
    table = speller.own
    respelled = replace(table.without(hidden, table), lengths=table.lengths)
    ids = np.flatnonzero((respelled.counts > 0) & ~hidden)
    targets = np.flatnonzero((respelled.counts > 0) & hidden)
    finer = finer_like(respelled.chosen(ids), respelled.chosen(targets))
    settings = NetworkSettings(place=args.place, finer=finer)
    order = order_of(len(rows))
    place = order[int(settings.place * len(order))]  # as the method does with new tokens
    order[hidden] = place if model is None else lacking_place(order[ids], ~unseen[ids])
    everything = Known(respelled, speller.inside(respelled, hidden), order)
    scale = Scale(rows[ids])
    standard = scale.enter(rows)
    learner = Learner(standard, [], settings, args.seed)
    passes = passes_over(len(ids), args.epochs)
    # Pieces of a hidden token's spelling are never hidden ones, so spelling by smaller pieces stays without them too.
    history, held = fit(learner, everything.chosen(ids), standard[ids], respelled, groups[ids], passes, seed=args.seed)
    given, before = everything.chosen(targets), {}
    if model is not None:
        before = {"network-rows": learner.predict(given)}
        learnable = Learnable(ids, everything.chosen(ids), standard[ids], respelled, held, len(rows))
        centre = rows.mean(axis=0)
        length = None if causal else float(np.linalg.norm(rows - centre, axis=1).mean())
        to_rows = ModelRows(learner, scale, centre, length)
        through = learn_through(learner, learnable, to_rows, model, settings.model_steps, args.seed)
    learned_in = time.monotonic() - began
    linear = linear_map(standard, respelled.chosen(ids), standard[ids])
    rows_by_name = {
        "network": learner.predict(given),
        "linear": linear(given.spelled),
        "pieces": mean_of_pieces(standard, given.spelled),
        **before,
    }
    facts: dict[str, Any] = {"learned_from": len(ids), "epochs": passes, "seconds": {"learning": round(learned_in, 1)}}
    facts["history"] = {name: [round(value, 4) for value in values] for name, values in history.items()}
    facts["through_model"] = through if model is not None else None
    facts["pieces"] = round(float(given.spelled.counts.mean()), 2)
    plain = {name: scale.leave(one) for name, one in rows_by_name.items()}
    if causal:
        plain |= {f"{name}-half": (plain[name] + plain["pieces"]) / 2 for name in ("network", "linear")}
    else:
        plain = {name: rescale(one, rows, rows.mean(axis=0)) for name, one in plain.items()}
    return targets, rows[targets], plain, facts


def median_rank(rows: np.ndarray, ids: np.ndarray, rows_by_name: np.ndarray) -> float:
    """The median place of the true row among all of the source's, by cosine about their mean (of at most 500)."""
    centre = rows.mean(axis=0)
    keys = torch.nn.functional.normalize(torch.from_numpy(rows - centre))
    queries = torch.nn.functional.normalize(torch.from_numpy(rows_by_name[:500] - centre))
    scores = queries @ keys.T
    true = scores.gather(1, torch.from_numpy(ids[:500])[:, None])
    return float((scores > true).sum(dim=1).add(1).median())


def frozen_losses(
    model: Any,
    rows: np.ndarray,
    ids: np.ndarray,
    predicted: dict[str, np.ndarray],
    lines: list[list[int]],
    *,
    causal: bool,
) -> dict[str, np.ndarray]:
    """By prediction, (lines,) the frozen model's loss with these rows in the place of the true ones (``true`` has those)."""
    model.eval()
    table = model.get_input_embeddings().weight
    rows_by_name: dict[str, np.ndarray] = {}
    reference: list[torch.Tensor] = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for name, new in {"true": rows[ids], **predicted}.items():
            table.data[torch.from_numpy(ids)] = torch.from_numpy(new.astype(np.float32)).to(table.dtype)
            parts = (lines[start : start + _BATCH] for start in range(0, len(lines), _BATCH))
            states = [one for part in parts for one in batch_of(model, part, causal)]
            if causal:
                rows_by_name[name] = np.array([float(one) for one in states])
                continue
            reference = reference or states
            alike = [F.cosine_similarity(a, b, dim=0) for a, b in zip(states, reference, strict=True)]
            rows_by_name[name] = 1 - np.array([float(one) for one in alike])
    return rows_by_name


def batch_of(model: Any, lines: list[list[int]], causal: bool) -> list[torch.Tensor]:
    """Each line's mean loss of the next token, or its mean last state without the special tokens at both ends."""
    longest = max(map(len, lines))
    ids = torch.tensor([line + [0] * (longest - len(line)) for line in lines])
    mask = torch.arange(longest) < torch.tensor([len(line) for line in lines])[:, None]
    states = model.base_model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    if not causal:
        return [state[here][1:-1].float().mean(dim=0) for state, here in zip(states, mask, strict=True)]
    head = model.get_output_embeddings()
    losses = []
    for state, here, line in zip(states, mask, ids, strict=True):
        losses.append(F.cross_entropy(head(state[here][:-1]).float(), line[here][1:]))
    return losses


def compared(scores: dict[str, np.ndarray], rng: np.random.Generator, *, higher: bool) -> dict[str, Any]:
    """Means, and what the network is better by than each other one, with its paired 95 % interval."""
    ours = scores[OURS]
    means = {name: round(float(one.mean()), 4) for name, one in scores.items()}
    draws = rng.integers(0, len(ours), (2000, len(ours)))
    above: dict[str, Any] = {}
    for name, one in scores.items():
        if name in (OURS, "true"):
            continue
        gap = (ours - one) * (1 if higher else -1)
        low, high = interval(gap[draws].mean(axis=1))
        above[name] = {"mean": round(float(gap.mean()), 5), "ci95": [round(low, 5), round(high, 5)]}
    return {"n": len(ours), "means": means, "network_above": above}


if __name__ == "__main__":
    sys.exit(main())
