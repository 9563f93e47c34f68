"""``hyperofa init`` at large sizes on generated input: time and memory of all but the training of networks and rows.

    python benchmarks/init/init_scale.py --work DIR [--shape paper] [--scale 0.1] [--method ofa-ridge] [--threads 2]
    python benchmarks/init/init_scale.py --work DIR --shape 8b [--method subword-mean ofa-ridge]

``paper``: 401,145 target tokens of which 250,002 are the source's, 3.6 M words of 200 dimensions in 1,000 languages, embeddings
of width 768, rank 400. ``8b``: a decoder of the shape of an 8B one with two of its blocks, 128,256 rows of width 4,096 in
bfloat16, its head not tied, to which 20,000 tokens are added at full rank; 300,000 words. The input is generated into ``--work``
(6 or 4 GB, kept and used again) and not counted; then the ordinary command runs once for each method. Networks are not trained
(``epochs=0``) unless ``--learn`` is given. Wall time and peak memory are compared with 15 minutes and 10 GB, or 16 GB; the time
on the processor stands beside them. The last line is one JSON; exit code 1 where either is exceeded.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SECONDS = 900.0
ALPHABETS = ["etaoinshrdlucmfwypvbgkjqxz", "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэф", "αβγδεζηθικλμνξοπρστυφχψω"]


class Shape(NamedTuple):
    """Sizes of the input, the most memory that the command may take, whether vectors are given to all, and further options."""

    targets: int
    sources: int
    words: int
    gigabytes: float
    vectors: bool
    options: tuple[str, ...] = ()


SHAPES = {
    "paper": Shape(401_145, 250_002, 3_600_000, 10.0, True, ("--rank", "400")),
    "8b": Shape(148_256, 128_256, 300_000, 16.0, False),
}


def main() -> int:
    """Generate what is not there, run, and report; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--shape", choices=SHAPES, default="paper")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the numbers of tokens and words")
    parser.add_argument("--method", nargs="+", default=["ofa-ridge"])
    parser.add_argument("--learn", action="store_true", help="train networks as the command does by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the JSON there")
    args = parser.parse_args()
    shape = SHAPES[args.shape]
    sizes = {name: int(getattr(shape, name) * args.scale) for name in ("targets", "sources", "words")}
    work = args.work / f"input-{args.shape}-{args.scale}"
    if not (work / "done").is_file():
        # In a process of its own: the system counts the peak of a parent as its child's too.
        maker = multiprocessing.get_context("spawn").Process(target=generate, args=(work, args.shape, sizes))
        maker.start()
        maker.join()
        if maker.exitcode:
            return 1
    out = args.work / "out"
    runs = {}
    for method in args.method:
        command = command_for(method, shape, work, out, learn=args.learn)
        runs[method] = measured(command, out, args.threads)
    slowest, largest = (max(run[figure] for run in runs.values()) for figure in ("seconds", "peak_gb"))
    outcome = {
        "benchmark": "init_scale",
        "shape": args.shape,
        "ratio": round(min(SECONDS / slowest, shape.gigabytes / largest), 2),
        "floor_seconds": SECONDS,
        "floor_gb": shape.gigabytes,
        "held": slowest <= SECONDS and largest <= shape.gigabytes,
        "learned": args.learn,
        "methods": runs,
        **sizes,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {args.threads} threads",
    }
    if args.out:
        args.out.write_text(json.dumps(outcome) + "\n", encoding="utf-8")
    print(json.dumps(outcome))
    return 0 if outcome["held"] else 1


def command_for(method: str, shape: Shape, work: Path, out: Path, *, learn: bool) -> list[str]:
    """The ordinary command."""
    from hyperofa.init.registry import find_method

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
    known = find_method(method)
    command += ["--vectors", work / "vectors"] if known.uses_words or shape.vectors else []
    command += ["--method", method, *shape.options, "--out", out]
    command += ["--option", "epochs=0"] if known.trains and not learn else []
    return [str(word) for word in command]


def measured(command: list[str], out: Path, threads: int) -> dict[str, Any]:
    """Wall seconds, peak memory in GB and the counts of rows of one run of the command."""
    shutil.rmtree(out, ignore_errors=True)
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=sys.stderr, env=os.environ | limits)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(command)} ended with status {status}")
    record = json.loads((out / "init.json").read_text(encoding="utf-8"))
    shutil.rmtree(out)
    return {
        "seconds": round(seconds, 1),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_gb": round(usage.ru_maxrss * 1024 / 1e9, 2),
        "counts": record["counts"],
    }


def generate(work: Path, shape: str, sizes: dict[str, int]) -> None:
    """Tokenizers, source model and word vectors of the asked sizes."""
    from hyperofa.vectors.store import write_store

    shutil.rmtree(work, ignore_errors=True)
    rng = np.random.default_rng(0)
    pieces = strings(sizes["targets"], rng)
    for name in ("sources", "targets"):
        save_tokenizer(work / name.removesuffix("s"), pieces[: sizes[name]])
    (save_decoder if shape == "8b" else save_encoder)(work / "source", sizes["sources"])
    words = keys(pieces, sizes["words"], rng)
    vectors = np.empty((len(words), 200), dtype=np.float16)
    for start in range(0, len(words), 1 << 17):
        block = vectors[start : start + (1 << 17)]
        block[:] = rng.standard_normal(block.shape, dtype=np.float32)
    write_store(work / "vectors", words, vectors, {}, dtype="float16")
    (work / "done").touch()


def save_encoder(folder: Path, size: int) -> None:
    """XLM-R base with drawn weights."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    shape = XLMRobertaConfig(vocab_size=size, max_position_embeddings=514, pad_token_id=1)
    torch.manual_seed(0)
    XLMRobertaForMaskedLM(shape).save_pretrained(folder)


def save_decoder(folder: Path, size: int) -> None:
    """Two blocks of an 8B decoder with embeddings and a head of their own, drawn, in bfloat16."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    width = {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8}
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    shape = LlamaConfig(vocab_size=size, num_hidden_layers=2, tie_word_embeddings=False, **width, **ids)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)  # of this process, which ends with the input
    LlamaForCausalLM(shape).save_pretrained(folder)


def strings(count: int, rng: np.random.Generator) -> list[str]:
    """``count`` distinct pieces: five specials, the letters, and words and word parts of 2 to 9 letters."""
    tokens = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "▁", *"".join(ALPHABETS)])
    while len(tokens) < count:
        letters = ALPHABETS[int(rng.integers(3))]
        text = "".join(letters[i] for i in rng.integers(0, len(letters), int(rng.integers(2, 10))))
        tokens[f"▁{text}" if rng.random() < 0.6 else text] = None
    return list(tokens)[:count]


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
    keys: dict[str, None] = {}
    while len(keys) < count:
        chosen = rng.integers(0, len(plain), (1 << 16, 3))
        lengths = rng.integers(1, 4, 1 << 16)
        languages = rng.integers(0, len(codes), (1 << 16, 3))
        shared = rng.random(1 << 16) < 0.1
        for row, length, where, several in zip(chosen, lengths, languages, shared, strict=True):
            word = "".join(plain[i] for i in row[:length])
            for language in where[: 3 if several else 1]:
                keys[f"{codes[language]}:{word}"] = None
    return list(keys)[:count]


if __name__ == "__main__":
    sys.exit(main())
