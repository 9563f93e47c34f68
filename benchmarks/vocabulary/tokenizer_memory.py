"""Memory of ``hyperofa tokenizer`` on millions of lines of a language without spaces, default cap; exit 1 if over the floor.

    python benchmarks/vocabulary/tokenizer_memory.py [--lines 5000000] [--action train|extend|both] [--vocab-size N] [--dir DIR]

Every line is one distinct word of Khmer letters, as text of such a language is to a tokenizer. Needs 1.5 GB of disk below
``--dir`` (by default the folder for temporary files), which is freed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LIMIT_GB = 4.0
SYLLABLES = 20_000
PHRASES = 50_000


def write_text(path: Path, lines: int) -> None:
    """Lines of four phrases of made-up syllables, of which a few are frequent, as words are; no space anywhere."""
    rng = np.random.default_rng(0)
    letters = [chr(code) for code in (*range(0x1780, 0x17B3), *range(0x17B6, 0x17C6))]
    syllables = ["".join(rng.choice(letters, size=rng.integers(1, 5))) for _ in range(SYLLABLES)]
    sizes = rng.integers(5, 16, size=PHRASES)
    phrases = []
    for size in sizes:
        chosen = np.minimum(rng.zipf(1.3, size=size), SYLLABLES) - 1
        phrases.append("".join([syllables[i] for i in chosen]))
    with path.open("w", encoding="utf-8") as handle:
        for first in range(0, lines, 100_000):
            chosen = rng.integers(0, PHRASES, size=(min(100_000, lines - first), 4)).tolist()
            handle.writelines("".join([phrases[i] for i in line]) + "\n" for line in chosen)


def write_source(folder: Path) -> None:
    """A byte-level tokenizer that knows the 256 bytes and no merge: the most symbols that a line can have."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {character: i for i, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(str(folder))


def measure(work: Path, action: str, size: int) -> dict[str, float]:
    """Seconds and peak memory (GB) of one command."""
    words = [sys.executable, "-m", "hyperofa.cli", "tokenizer", action, "--text", f"khm={work / 'khm.txt'}"]
    words += ["--source", str(work / "source")] if action == "extend" else []
    start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    subprocess.run([*words, "--vocab-size", str(size), "--out", str(work / action)], check=True, stdout=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if before and peak == before:
        print(f"{action}: no higher than the command before", file=sys.stderr)
    return {"seconds": round(time.perf_counter() - start, 1), "peak_gb": round(peak * 1024 / 1e9, 2)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=5_000_000)
    parser.add_argument("--action", choices=("train", "extend", "both"), default="both")
    parser.add_argument("--vocab-size", type=int, default=16_000)
    parser.add_argument("--dir", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        work = Path(folder)
        write_text(work / "khm.txt", args.lines)
        write_source(work / "source")
        actions = ("train", "extend") if args.action == "both" else (args.action,)
        figures = {action: measure(work, action, args.vocab_size) for action in actions}
        megabytes = round((work / "khm.txt").stat().st_size / 1e6)
    peak = max(row["peak_gb"] for row in figures.values())
    outcome = {
        "benchmark": "tokenizer_memory",
        "peak_gb": peak,
        "limit_gb": LIMIT_GB,
        **figures,
        "lines": args.lines,
        "text_mb": megabytes,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps(outcome))
    return 0 if peak < LIMIT_GB else 1


if __name__ == "__main__":
    sys.exit(main())
