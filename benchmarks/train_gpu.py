"""Tokens per second, MFU and peak memory of real training on one GPU: XLM-R-base shape, rank 400, length 512, bf16.

    python benchmarks/train_gpu.py [--compile] [--micro-batch 64] [--out benchmarks/results/train_gpu.json]
    python benchmarks/train_gpu.py --tiny       # a few seconds on any machine, to see that it runs; no floor

It writes a model of random weights with 401,145 rows and a corpus of random words, starts `accelerate launch` as a user would,
and reads the run's metrics.jsonl: data loading, masking, clipping, AdamW and logging are all in the figures. Global batch 512
as in the paper. Exit code 1 where the floor is missed, 3 where there is no GPU. The last line is one JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FLOOR = 200_000
"""Tokens per second on one H100; the paper's hours imply 49,000."""
FULL = {
    "vocab_size": 401_145,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "embedding_rank": 400,
}
TINY = {
    "vocab_size": 500,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "embedding_rank": 8,
}
WARM_UP = 3
"""Steps not counted: kernels are chosen and memory is reserved in them."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, any device, no floor")
    parser.add_argument("--steps", type=int, default=20, help=f"optimizer steps, {WARM_UP} of them not counted")
    parser.add_argument("--micro-batch", type=int, default=64, help="sequences per forward pass")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--dropout", type=float, help="in place of the config's 0.1")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    args = parser.parse_args()
    if args.tiny:
        args.micro_batch = 2
    import torch

    if not args.tiny and not torch.cuda.is_available():
        print("train_gpu: no GPU here; run it where torch.cuda.is_available(), or try --tiny", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory() as folder:
        rows, facts = train(Path(folder), args)
    counted = rows[WARM_UP:]
    speed = statistics.median(row["tokens_per_second"] for row in counted)
    result: dict[str, Any] = {
        "tokens_per_second": speed,
        "floor": None if args.tiny else FLOOR,
        "ratio": None if args.tiny else speed / FLOOR,
        "mfu": statistics.median(row["mfu"] for row in counted) if "mfu" in counted[0] else None,
        "peak_gb": rows[-1].get("peak_gpu", rows[-1]["peak_rss"]) / 1e9,
        "losses": [rows[0]["loss"], rows[-1]["loss"]],
        "settings": {"micro_batch": args.micro_batch, "compile": args.compile, "dropout": args.dropout},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "shape": TINY if args.tiny else FULL,
        "engine": {key: facts[key] for key in ("engine", "zero_stage", "precision", "optimizer", "versions")},
    }
    print(f"{speed:,.0f} tokens/s, MFU {result['mfu']}, peak {result['peak_gb']:.2f} GB on {result['device']}")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    return 1 if not args.tiny and speed < FLOOR else 0


def train(folder: Path, args: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run the trainer on generated input; returns the rows of metrics.jsonl and run.json."""
    shape, length, batch = (TINY, 32, 8) if args.tiny else (FULL, 512, 512)
    write_model(folder / "model", shape, length)
    write_corpus(folder, shape["vocab_size"], length, sequences=4 * batch)
    settings = {
        "model": str(folder / "model"),
        "corpus": str(folder / "corpus"),
        "run": str(folder / "run"),
        "steps": args.steps,
        "global_batch_size": batch,
        "micro_batch_size": args.micro_batch,
        "precision": "fp32" if args.tiny else "bf16",
        "zero_stage": 1,
        "dropout": args.dropout,
        "compile": args.compile,
        "workers": 0 if args.tiny else 4,
        "save_every": args.steps,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    accelerate = Path(sys.executable).with_name("accelerate")
    topology = ["--config_file", str(ROOT / "launch" / "one_gpu.yaml")]
    command = [str(accelerate), "launch", *topology, "-m", "hyperofa.train", str(folder / "run.yaml")]
    subprocess.run(command, check=True, env={**os.environ, "TOKENIZERS_PARALLELISM": "false"})
    from hyperofa.train.metrics import METRICS_FILE, read_metrics

    return read_metrics(folder / "run" / METRICS_FILE), json.loads((folder / "run" / "run.json").read_text())


def write_model(out: Path, shape: dict[str, int], length: int) -> None:
    """A factorised XLM-R of random weights, with a tokenizer of its size."""
    from hyperofa.model.families import FAMILIES

    family = FAMILIES["xlm-roberta"]
    config = family.factorized_config(
        **shape,
        head_rank=shape["embedding_rank"],
        max_position_embeddings=length + 2,
        type_vocab_size=1,
        pad_token_id=1,
    )
    model = family.factorized_class(family.lm_kind)(config)
    model.save_pretrained(out)
    write_tokenizer(out, shape["vocab_size"])


def write_tokenizer(out: Path, vocab_size: int) -> None:
    """Its words are w0, w1 and so on, five special tokens before them."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    specials = {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    words = [*specials.values(), *(f"w{number}" for number in range(vocab_size - len(specials)))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials).save_pretrained(out)


def write_corpus(folder: Path, vocab_size: int, length: int, sequences: int) -> None:
    """Words drawn so that their logarithms are uniform, near enough to Zipf's law, in documents of half a sequence."""
    from hyperofa.corpus.prepare import prepare
    from hyperofa.corpus.settings import CorpusSettings

    draw = random.Random(0)
    largest = vocab_size - 5
    with (folder / "text.txt").open("w") as text:
        for _ in range(2 * sequences):
            text.write(" ".join(f"w{int(largest ** draw.random()) - 1}" for _ in range(length // 2)) + "\n")
    prepare(
        folder / "model", {"eng_Latn": [str(folder / "text.txt")]}, folder / "corpus", CorpusSettings(length=length)
    )


if __name__ == "__main__":
    sys.exit(main())
