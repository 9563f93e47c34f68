"""Word vectors judged on held-out parallel sentences: which settings bring translations together.

    python benchmarks/vocabulary/vectors_quality.py --parallel DIR [--pivot eng] [--languages …] [--train 1600] [--vary KEY=VALUE]

Vectors are built from the first ``--train`` lines. A further line is the mean of its words' vectors; for each line of the pivot
language the nearest line of another language should be its translation (top-1). The last line is one JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import yaml

from hyperofa.data.parallel import ParallelText, read_parallel
from hyperofa.vectors.build import embed_words
from hyperofa.vectors.segment import words_of
from hyperofa.vectors.settings import BuildSettings

VARIATIONS = (
    "power=0.5",
    "power=1.0",
    "smoothing=0.75",
    "balance=0.0",
    "min_count=1",
    "min_count=3",
    "ngrams=2",
    "ngrams=4",
    "normalise=false",
    "dim=100",
    "dim=400",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parallel", type=Path, nargs="+", required=True)
    parser.add_argument("--pivot", default="eng")
    parser.add_argument("--languages", nargs="+", default=["eng", "spa", "swh", "cmn", "kat", "tur", "khm"])
    parser.add_argument("--train", type=int, default=1600, help="lines to build from; the others are held out")
    parser.add_argument(
        "--vary", nargs="*", default=VARIATIONS, metavar="key=value", help="one setting changed at a time"
    )
    args = parser.parse_args()

    text = read_parallel(args.parallel, args.languages)
    results = {"default": top1(text, BuildSettings(), args.train, args.pivot)}
    for variation in args.vary:
        key, _, value = variation.partition("=")
        config = dataclasses.replace(BuildSettings(), **{key: yaml.safe_load(value)})
        results[variation] = top1(text, config, args.train, args.pivot)
    for name, result in results.items():
        print(f"{name:16} {result['mean']:5.1f}  {result['words']:7d} words  {result['languages']}")
    print(json.dumps({"benchmark": "vectors_quality", "held_out": text.n_sentences - args.train, "top1": results}))
    return 0


def top1(text: ParallelText, config: BuildSettings, train: int, pivot: str) -> dict:
    """Top-1 retrieval, in per cent, of each language's held-out lines by the pivot's."""
    early = {language: {i: s for i, s in rows.items() if i < train} for language, rows in text.texts.items()}
    words, vectors, _ = embed_words(ParallelText(early, train), config)
    index = {word: i for i, word in enumerate(words)}

    def lines(language: str) -> np.ndarray:
        means = np.zeros((text.n_sentences - train, vectors.shape[1]))
        for row in range(len(means)):
            line = text.texts[language].get(train + row, "")
            ids = [index[key] for word in words_of(line, config.ngrams) if (key := f"{language}:{word}") in index]
            if ids:
                means[row] = vectors[ids].mean(0)
        return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)

    queries = lines(pivot)
    scores = {}
    for language in sorted(text.texts):
        if language != pivot:
            nearest = (queries @ lines(language).T).argmax(1)
            scores[language] = round(float((nearest == np.arange(len(queries))).mean() * 100), 1)
    return {"mean": round(float(np.mean(list(scores.values()))), 1), "words": len(words), "languages": scores}


if __name__ == "__main__":
    sys.exit(main())
