"""Opening a store of 4 M x 200 word vectors, against reading it whole; exit 1 if it takes a second or more.

    python benchmarks/vocabulary/vectors_open.py [--words 4000000] [--dim 200] [--dir DIR]

Needs 1.7 GB of disk below ``--dir`` (by default the folder for temporary files), which is freed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LIMIT_S = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, default=4_000_000)
    parser.add_argument("--dim", type=int, default=200)
    parser.add_argument("--dir", type=Path)
    args = parser.parse_args()

    from safetensors.numpy import load_file

    from hyperofa.vectors.store import WordVectors, new_store

    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        path = Path(folder) / "store"
        rows = np.random.default_rng(0).normal(size=(1 << 14, args.dim)).astype(np.float16)
        with new_store(path, args.dim, {"command": "benchmark"}) as writer:
            for first in range(0, args.words, len(rows)):
                count = min(len(rows), args.words - first)
                writer.append([f"eng:word{first + i}" for i in range(count)], rows[:count])
        start = time.perf_counter()
        store = WordVectors.open(path)
        opened = time.perf_counter() - start
        start = time.perf_counter()
        last = store.words[len(store) - 1], float(store.vectors[-1, 0])
        first_access = time.perf_counter() - start
        start = time.perf_counter()
        whole = load_file(path / "vectors.safetensors")["vectors"]
        lines = (path / "words.txt").read_text(encoding="utf-8").split("\n")
        read = time.perf_counter() - start
        if last != (lines[args.words - 1], float(whole[-1, 0])):
            print("the two sides read different values", file=sys.stderr)
            return 1
    outcome = {
        "benchmark": "vectors_open",
        "ratio": round(read / (opened + first_access), 1),
        "open_s": round(opened, 5),
        "first_word_s": round(first_access, 3),
        "read_whole_s": round(read, 3),
        "limit_s": LIMIT_S,
        "words": args.words,
        "dim": args.dim,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps(outcome))
    return 0 if opened < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
