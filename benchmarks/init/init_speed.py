"""The four comparisons of initialisation's speed, both sides of each in this run; exit 1 where a floor is missed.

    python benchmarks/init/init_speed.py --tokenizer DIR [--parts matching factorise ofa epoch] [--scale 0.1] [--threads 2]

``matching``   1 M generated words against a loop that calls ``encode`` for every spelling of every word
``factorise``  250 K x 768 by the Gram matrix against numpy's full SVD (same error, checked)
``ofa``        250 K targets against 100 K sources against a loop over tokens (cosine similarity to all sources, ten best)
``epoch``      an epoch of a 2 x 800 BiLSTM over 22 K tokens against a DataLoader over lists of lists, at the same loss;
               ours in the precision that it takes by itself (bfloat16 where the processor has it), float32 beside it; theirs
               as torch comes, and with denormal numbers flushed, which makes most of the difference on Intel processors

The loops are timed on a sample and scaled: whole, they take hours. Neither side of ``epoch`` is run whole on a CPU: both take
the same share of the tokens. The last line is one JSON with ratio and both figures of every part.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

FLOORS = {"matching": 8.0, "factorise": 8.0, "ofa": 30.0, "epoch": 2.0}
EPOCH_SIDES = ("theirs", "theirs_flushed", "ours", "ours_float32")


def main() -> int:
    """Run the asked parts; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", help="fast tokenizer for matching, such as XLM-R's")
    parser.add_argument("--parts", nargs="+", choices=list(FLOORS), default=list(FLOORS))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full sizes, to try the benchmark out")
    parser.add_argument(
        "--epoch-share", type=float, default=0.1, help="share of the epoch's tokens that both sides take"
    )
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if "matching" in args.parts and args.tokenizer is None:
        parser.error("--tokenizer is needed for matching")
    import torch

    torch.set_num_threads(args.threads)
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "matching": lambda: matching(args.tokenizer, args.scale),
        "factorise": lambda: factorise(args.scale),
        "ofa": lambda: ofa(args.scale),
        "epoch": lambda: epoch(args.epoch_share * args.scale, args.threads),
    }
    outcome: dict[str, dict[str, Any]] = {}
    for name in args.parts:
        outcome[name] = parts[name]()
        outcome[name] = {
            "ratio": round(outcome[name]["theirs_s"] / outcome[name]["ours_s"], 2),
            "floor": FLOORS[name],
        } | {key: round(value, 4) if isinstance(value, float) else value for key, value in outcome[name].items()}
        print(f"{name}: {json.dumps(outcome[name])}", file=sys.stderr, flush=True)
    held = all(part["ratio"] >= part["floor"] and part.get("agrees", True) for part in outcome.values())
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {args.threads} threads"
    print(
        json.dumps({"benchmark": "init_speed", "parts": outcome, "held": held, "scale": args.scale, "machine": machine})
    )
    return 0 if held else 1


def matching(tokenizer_name: str, scale: float) -> dict[str, Any]:
    """Words to tokens; see :mod:`matching_speed`, whose loop and words these are."""
    from matching_speed import compare, generated_words, loop

    from hyperofa.vocab.matching import match
    from hyperofa.vocab.report import load_tokenizer

    tokenizer = load_tokenizer(tokenizer_name)
    words = generated_words(int(1_000_000 * scale))
    ours, result = timed(lambda: match(words, tokenizer))
    sample = range(0, len(words), max(1, len(words) // 5_000))
    theirs, pairs = timed(lambda: loop([words[i] for i in sample], tokenizer))
    return {
        "ours_s": ours,
        "theirs_s": theirs * len(words) / len(sample),
        "sampled": len(sample),
        "words": len(words),
        "agrees": compare(pairs, sample, result.matrix) == 0,
    }


def factorise(scale: float) -> dict[str, Any]:
    """Rank 100 of a matrix whose singular values fall like those of real embeddings."""
    from hyperofa.init.factorize import factorize

    rng = np.random.default_rng(0)
    rows = int(250_000 * scale)
    mixing = rng.normal(size=(768, 768)).astype(np.float32) * np.geomspace(1, 0.05, 768, dtype=np.float32)[:, None]
    embeddings = rng.standard_normal((rows, 768), dtype=np.float32) @ mixing
    ours, factors = timed(lambda: factorize(embeddings, rank=100))
    theirs, (u, s, vt) = timed(lambda: np.linalg.svd(embeddings, full_matrices=False))
    some = slice(0, 2000)
    assert factors.primitives is not None
    errors = [
        float(np.linalg.norm(embeddings[some] - product))
        for product in (factors.coordinates[some] @ factors.primitives, (u[some, :100] * s[:100]) @ vt[:100])
    ]
    return {
        "ours_s": ours,
        "theirs_s": theirs,
        "rows": rows,
        "error_ours": errors[0],
        "error_theirs": errors[1],
        "agrees": abs(errors[0] / errors[1] - 1) < 1e-3,
    }


def ofa(scale: float) -> dict[str, Any]:
    """Rows of new tokens from subword vectors; the loop is the obvious one, a token at a time.

    ``theirs_unit_s`` is a loop that keeps the sources' unit rows instead of normalising them for every token.
    """
    from sklearn.metrics.pairwise import cosine_similarity

    from hyperofa.init.linalg import normalise_rows
    from hyperofa.init.methods.ofa import combine_nearest
    from hyperofa_eval.base.cpu import multiply_with_onednn

    rng = np.random.default_rng(0)
    targets, sources = int(250_000 * scale), int(100_000 * scale)
    keys = normalise_rows(rng.standard_normal((sources, 200), dtype=np.float32))
    queries = normalise_rows(rng.standard_normal((targets, 200), dtype=np.float32))
    rows = rng.standard_normal((sources, 100), dtype=np.float32)
    multiply_with_onednn()  # as ``hyperofa init`` does; the loop multiplies with numpy
    ours, combined = timed(lambda: combine_nearest(queries, keys, rows, neighbours=10, temperature=0.1))

    def one(similarities: np.ndarray) -> np.ndarray:
        best = np.argsort(-similarities)[:10]
        weights = np.exp(similarities[best] / 0.1)
        return (weights / weights.sum()) @ rows[best]

    sample = range(0, targets, max(1, targets // 200))
    theirs, slow = timed(lambda: [one(cosine_similarity(queries[i : i + 1], keys)[0]) for i in sample])
    unit, _ = timed(lambda: [one(keys @ queries[i]) for i in sample])
    return {
        "ours_s": ours,
        "theirs_s": theirs * targets / len(sample),
        "theirs_unit_s": unit * targets / len(sample),
        "ratio_to_unit": round(unit * targets / len(sample) / ours, 2),
        "sampled": len(sample),
        "targets": targets,
        "sources": sources,
        "agrees": bool(np.allclose(combined[list(sample)], np.array(slow), atol=1e-3)),
    }


def epoch(share: float, threads: int) -> dict[str, Any]:
    """One epoch of the paper's RoBERTa network by every side, each in a process of its own: some settings are for good."""
    sides = {}
    for side in EPOCH_SIDES:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
            sides[side] = alone.submit(epoch_side, side, share, threads).result()
        print(f"epoch, {side}: {sides[side]['seconds']:.1f} s", file=sys.stderr, flush=True)
    ours, theirs = sides["ours"], sides["theirs"]
    return {
        "ours_s": ours["seconds"],
        "theirs_s": theirs["seconds"],
        "theirs_flushed_s": sides["theirs_flushed"]["seconds"],
        "ratio_to_flushed": sides["theirs_flushed"]["seconds"] / ours["seconds"],
        "bf16": ours["bf16"],  # what the default takes on this machine; the plain side is float32, as torch comes
        "ours_float32_s": sides["ours_float32"]["seconds"],
        "ratio_float32": theirs["seconds"] / sides["ours_float32"]["seconds"],
        "tokens": ours["tokens"],
        "words_mean": ours["words_mean"],
        "loss_ours": ours["loss"],
        "loss_theirs": theirs["loss"],
        "agrees": abs(ours["loss"] / theirs["loss"] - 1) < 0.05,
    }


def epoch_side(side: str, share: float, threads: int) -> dict[str, Any]:
    """The epoch of one of :data:`EPOCH_SIDES`; word sets as long as real ones (median 3, mean 29, at most 256)."""
    import torch
    from scipy.sparse import csr_matrix

    from hyperofa.init.hypernet.fit import FitData, fit
    from hyperofa.init.hypernet.networks import build_network
    from hyperofa.init.hypernet.sets import WordSets
    from hyperofa.init.hypernet.settings import FitConfig, NetworkConfig
    from hyperofa_eval.base.cpu import speed_up_cpu

    torch.set_num_threads(threads)
    if side == "theirs_flushed":
        torch.set_flush_denormal(True)
    rng = np.random.default_rng(0)
    tokens, vocabulary = int(22_000 * share), 50_000
    sizes = np.clip(np.exp(rng.normal(np.log(3), 2.0, tokens)), 1, 256).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    indices = np.concatenate([rng.choice(vocabulary, size, replace=False) for size in sizes])
    words = csr_matrix((np.ones(len(indices), dtype=np.float32), indices, starts), shape=(tokens, vocabulary))
    vectors = rng.standard_normal((vocabulary, 200), dtype=np.float32)
    targets = np.array([vectors[indices[a:b]].mean(0) for a, b in itertools.pairwise(starts)])[:, :100]
    shape = NetworkConfig(layers=2, hidden=800, dropout=0.4)
    config = FitConfig(epochs=1, held_out=0.0, thin=0.0, device="cpu", bf16=False if side == "ours_float32" else None)
    facts: dict[str, Any] = {"tokens": tokens, "words_mean": float(sizes.mean())}
    if side.startswith("theirs"):
        lists = [[vectors[i].tolist() for i in indices[a:b]] for a, b in itertools.pairwise(starts)]
        network = build_network(shape, 200, 100, 0)
        torch.manual_seed(0)
        seconds, loss = timed(lambda: plain_epoch(network, lists, torch.from_numpy(targets), config))
        return facts | {"seconds": seconds, "loss": loss}
    speed_up_cpu()
    sets = WordSets(words, np.arange(tokens))
    seconds, (_, report) = timed(lambda: fit(FitData(sets, targets, np.arange(tokens), vectors), shape, config, seed=0))
    return facts | {"seconds": seconds, "loss": report.train_loss[-1], "bf16": report.bf16}


def plain_epoch(network: Any, lists: list[list[list[float]]], targets: Any, config: Any) -> float:
    """The epoch as it is written first: a Dataset of lists of word vectors, batches in random order, padded and packed."""
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from torch.utils.data import DataLoader

    from hyperofa.init.hypernet.losses import paper_loss

    def collate(batch: list[tuple[list[list[float]], Any]]) -> tuple[Any, Any, Any]:
        sets = [torch.tensor(words) for words, _ in batch]
        return (
            pad_sequence(sets, batch_first=True),
            torch.tensor([len(s) for s in sets]),
            torch.stack([t for _, t in batch]),
        )

    loader = DataLoader(list(zip(lists, targets, strict=True)), config.batch_size, shuffle=True, collate_fn=collate)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    network.train()
    total = 0.0
    for words, lengths, wanted in loader:
        rows = network(words, torch.ones(words.shape[:2]), lengths)
        loss = paper_loss(rows, wanted, weight=config.contrastive_weight, temperature=config.temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(wanted)
    return total / len(lists)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds, result) of ``work``."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    sys.exit(main())
