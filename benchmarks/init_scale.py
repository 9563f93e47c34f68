"""``hyperofa init`` at the paper's size on generated input: time and memory of all but the hypernetwork's training.

    python benchmarks/init_scale.py --work DIR [--scale 0.1] [--method ofa-ridge] [--threads 2]

401,145 target tokens of which 250,002 are the source's, 3.6 M words of 200 dimensions in 1,000 languages, embeddings of width
768, rank 400. The input is generated into ``--work`` (about 6 GB, kept and used again) and not counted; then the ordinary command
runs once (``hyperofa`` with a network that is not trained, ``epochs=0``), and its wall time and peak memory are compared
with 15 minutes and 10 GB. The last line is one JSON; exit code 1 where either is exceeded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SECONDS, GIGABYTES = 900.0, 10.0
ALPHABETS = ["etaoinshrdlucmfwypvbgkjqxz", "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэф", "αβγδεζηθικλμνξοπρστυφχψω"]


def main() -> int:
    """Generate what is not there, run, and report; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the paper's size")
    parser.add_argument("--method", default="ofa-ridge")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    sizes = {
        "targets": int(401_145 * asked.scale),
        "sources": int(250_002 * asked.scale),
        "words": int(3_600_000 * asked.scale),
    }
    work = asked.work / f"input-{asked.scale}"
    if not (work / "done").is_file():
        generate(work, sizes)
    out = asked.work / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "hyperofa.cli",
        "init",
        "--source",
        work / "source",
        "--tokenizer",
        work / "target",
    ]
    command += ["--vectors", work / "vectors", "--method", asked.method, "--rank", "400", "--out", out]
    if asked.method == "hyperofa":
        command += ["--option", "epochs=0"]
    threads = {name: str(asked.threads) for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")}
    start = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr, env=os.environ | threads)
    seconds = time.perf_counter() - start
    gigabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    record = json.loads((out / "init.json").read_text(encoding="utf-8"))
    held = seconds <= SECONDS and gigabytes <= GIGABYTES
    outcome = {
        "benchmark": "init_scale",
        "ratio": round(SECONDS / seconds, 2),
        "seconds": round(seconds, 1),
        "floor_seconds": SECONDS,
        "peak_gb": round(gigabytes, 2),
        "floor_gb": GIGABYTES,
        "held": held,
        "counts": record["counts"],
        "method": asked.method,
        **sizes,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {asked.threads} threads",
    }
    print(json.dumps(outcome))
    return 0 if held else 1


def generate(work: Path, sizes: dict[str, int]) -> None:
    """Tokenizers, source model and word vectors of the asked sizes."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    from hyperofa.vectors.store import write_store

    shutil.rmtree(work, ignore_errors=True)
    rng = np.random.default_rng(0)
    pieces = strings(sizes["targets"], rng)
    for name in ("sources", "targets"):
        save_tokenizer(work / name.removesuffix("s"), pieces[: sizes[name]])
    shape = XLMRobertaConfig(vocab_size=sizes["sources"], max_position_embeddings=514, pad_token_id=1)
    torch.manual_seed(0)
    XLMRobertaForMaskedLM(shape).save_pretrained(work / "source")
    words = keys(pieces, sizes["words"], rng)
    vectors = np.empty((len(words), 200), dtype=np.float16)
    for start in range(0, len(words), 1 << 17):
        block = vectors[start : start + (1 << 17)]
        block[:] = rng.standard_normal(block.shape, dtype=np.float32)
    write_store(work / "vectors", words, vectors, {}, dtype="float16")
    (work / "done").touch()


def strings(count: int, rng: np.random.Generator) -> list[str]:
    """``count`` distinct pieces: five specials, the letters, and words and word parts of 2 to 9 letters."""
    found = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "▁", *"".join(ALPHABETS)])
    while len(found) < count:
        letters = ALPHABETS[int(rng.integers(3))]
        text = "".join(letters[i] for i in rng.integers(0, len(letters), int(rng.integers(2, 10))))
        found[f"▁{text}" if rng.random() < 0.6 else text] = None
    return list(found)[:count]


def save_tokenizer(folder: Path, pieces: list[str]) -> None:
    """A unigram tokenizer laid out as XLM-R's."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    scored = [(piece, 0.0 if piece.startswith("<") else -5.0 - 1e-5 * rank) for rank, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    roles = {"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{role}_token": token for role, token in roles.items()}
    ).save_pretrained(folder)


def keys(pieces: list[str], count: int, rng: np.random.Generator) -> list[str]:
    """``count`` keys ``lang:word``: one to three pieces put together, in 1,000 languages; one in five in several of them."""
    codes = [f"{a}{b}{c}" for a in "abcdefghij" for b in "abcdefghij" for c in "abcdefghij"]
    plain = [piece.removeprefix("▁") for piece in pieces[6:]]
    found: dict[str, None] = {}
    while len(found) < count:
        chosen = rng.integers(0, len(plain), (1 << 16, 3))
        lengths = rng.integers(1, 4, 1 << 16)
        languages = rng.integers(0, len(codes), (1 << 16, 3))
        shared = rng.random(1 << 16) < 0.1
        for row, length, where, several in zip(chosen, lengths, languages, shared, strict=True):
            word = "".join(plain[i] for i in row[:length])
            for language in where[: 3 if several else 1]:
                found[f"{codes[language]}:{word}"] = None
    return list(found)[:count]


if __name__ == "__main__":
    sys.exit(main())
