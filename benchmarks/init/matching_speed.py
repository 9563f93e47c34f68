"""Word-token matching against a per-word ``encode`` loop, both sides in one run; exit 1 under the floor.

    python benchmarks/init/matching_speed.py --tokenizer DIR [--vectors DIR] [--words N]

Without ``--vectors`` the words are generated: N keys of 100 languages, a fifth of them shared by several languages. The loop is
timed on every ``--every``-th word and scaled, since all of them take minutes; its matches must be the matrix's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

FLOOR = 8.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", required=True, help="directory or hub id of a fast tokenizer")
    parser.add_argument("--vectors", help="word-vector store whose words are matched")
    parser.add_argument("--words", type=int, default=1_000_000, help="generated words (default: %(default)s)")
    parser.add_argument("--every", type=int, default=100, help="the loop takes every n-th word (default: %(default)s)")
    args = parser.parse_args()

    from hyperofa.vocab.matching import match
    from hyperofa.vocab.report import load_tokenizer

    tokenizer = load_tokenizer(args.tokenizer)
    words = stored_words(args.vectors) if args.vectors else generated_words(args.words)
    start = time.perf_counter()
    result = match(words, tokenizer)
    ours = time.perf_counter() - start
    sample = range(0, len(words), args.every)
    start = time.perf_counter()
    pairs = loop([words[i] for i in sample], tokenizer)
    loop_seconds = (time.perf_counter() - start) * len(words) / len(sample)
    missing = compare(pairs, sample, result.matrix)
    outcome = {
        "benchmark": "matching_speed",
        "ratio": round(loop_seconds / ours, 2),
        "floor": FLOOR,
        "matrix_s": round(ours, 2),
        "loop_s": round(loop_seconds, 2),
        "words": len(words),
        "spellings": result.spellings,
        "vocabulary": len(tokenizer),
        "matches": int(result.matrix.nnz),
        "matches_of_the_loop_that_are_missing": missing,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps(outcome))
    return 0 if outcome["ratio"] >= FLOOR and missing == 0 else 1


def loop(words: Sequence[str], tokenizer: Any) -> list[set[int]]:
    """What the public code does: every spelling of every word through ``encode``, one at a time."""
    matched = []
    for word in words:
        text = word.partition(":")[2].replace("$", " ").strip()
        capital = text[0].title() + text[1:]
        ids: set[int] = set()
        for spelling in (text, f" {text}", capital, f" {capital}"):
            ids.update(tokenizer.encode(spelling, add_special_tokens=False))
        matched.append(ids)
    return matched


def compare(pairs: list[set[int]], sample: range, matrix: Any) -> int:
    """How many of the loop's matches the matrix lacks, but for special tokens and the bare boundary, which match nothing."""
    import numpy as np

    dead = np.diff(matrix.indptr) == 0
    columns = matrix.tocsc()
    missing = 0
    for ids, column in zip(pairs, sample, strict=True):
        ours = set(columns.indices[columns.indptr[column] : columns.indptr[column + 1]].tolist())
        missing += sum(1 for token in ids - ours if not dead[token])
    return missing


def stored_words(path: str) -> Sequence[str]:
    from hyperofa.vectors.store import WordVectors

    return WordVectors.open(path).words


def generated_words(number: int) -> list[str]:
    """Words of plausible length and repetition, in Latin, Cyrillic and Han."""
    source = random.Random(0)
    alphabets = ["etaoinshrdlucmfwypvbgk", "оеаинтсрвлкмдпуя", "政府水家犬国人的我在有他这中大"]
    shared = ["".join(source.choices(alphabets[0], k=source.randint(3, 9))) for _ in range(number // 100)]
    words = []
    for i in range(number):
        language = f"{chr(97 + i % 10)}{chr(97 + i // 10 % 10)}x"
        letters = alphabets[i % 10 // 4]
        longest = 3 if letters is alphabets[2] else 11
        new = "".join(source.choices(letters, k=source.randint(1, longest)))
        words.append(f"{language}:{source.choice(shared) if i % 5 == 0 else new}")
    return words


if __name__ == "__main__":
    sys.exit(main())
