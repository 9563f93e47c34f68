"""The largest decoder that ZeRO-3 trains on two CPU processes within a given memory: two steps, and the real peak.

    python benchmarks/train_size.py --gb 24     # chooses the number of layers that fit

A factorised Llama (401,145 rows, rank 400, width 2,048) of random weights, with as many layers as fit. The peak is that of
both processes together, shared pages counted once. Exit code 1 if it is above the memory given. The last line is one JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import yaml
from train_gpu import ROOT, write_corpus, write_tokenizer

BYTES_PER_PARAMETER = 28.5
"""Of the layers, as measured between 1 and 7 of them: 20 are float32 weights, master copy, two moments and gradients, all of
them shared out by ZeRO-3; the others pass, such as the copy that each process reads from disk before it is cut."""
FIXED_GB = 14.9
"""The rest, as measured at the most (peaks differ by 2 GB from run to run): most of it is the vocabulary, whose
rows (0.64 GB) and their gradients each rank holds whole for a while, as an input and as the head; then two processes'
libraries and buckets."""
LENGTH = 64
SHAPE = {
    "vocab_size": 401_145,
    "hidden_size": 2048,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "intermediate_size": 5632,
    "embedding_rank": 400,
    "head_rank": 400,
    "tie_word_embeddings": True,
    "max_position_embeddings": LENGTH,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=24.0, help="memory for both processes, in 10^9 bytes")
    parser.add_argument("--tiny", action="store_true", help="a few thousand parameters, to see that it runs")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parameters, layers = write_model(folder / "model", args)
        write_corpus(folder, 500 if args.tiny else SHAPE["vocab_size"], LENGTH, sequences=8)
        peak, seconds, losses = train(folder)
    result = {
        "parameters": parameters,
        "layers": layers,
        "peak_gb": peak / 1e9,
        "given_gb": args.gb,
        "ratio": peak / 1e9 / args.gb,
        "bytes_per_parameter": peak / parameters,
        "seconds": seconds,
        "losses": losses,
    }
    print(f"{parameters:,} parameters in {layers} layers: {peak / 1e9:.2f} GB at the peak, {seconds:.0f} s")
    print(json.dumps(result))
    return 1 if peak > args.gb * 1e9 else 0


def write_model(out: Path, args: argparse.Namespace) -> tuple[int, int]:
    """Save the largest model that fits; returns its parameters and layers."""
    import torch

    from hyperofa.model.families import FAMILIES

    family = FAMILIES["llama"]
    shape: dict[str, Any] = dict(SHAPE)
    if args.tiny:
        shape |= {"vocab_size": 500, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
        shape |= {"embedding_rank": 8, "head_rank": 8}

    def build(layers: int) -> Any:
        return family.factorized_class(family.lm_kind)(family.factorized_config(**shape, num_hidden_layers=layers))

    def size(layers: int) -> int:
        with torch.device("meta"):
            model = build(layers)
            model.tie_weights()
            return sum(parameter.numel() for parameter in model.parameters())

    layers = 1
    if not args.tiny:
        room = (args.gb - FIXED_GB) * 1e9 / BYTES_PER_PARAMETER
        layers = max(1, int(room / (size(1) - size(0))))
    build(layers).save_pretrained(out)
    write_tokenizer(out, shape["vocab_size"])
    return size(layers), layers


def train(folder: Path) -> tuple[int, float, list[float]]:
    """Two steps of two ranks; returns the peak of their memory, the time and the losses."""
    settings = {
        "model": str(folder / "model"),
        "corpus": str(folder / "corpus"),
        "run": str(folder / "run"),
        "steps": 1000,
        "stop_at": 2,
        "global_batch_size": 2,
        "micro_batch_size": 1,
        "zero_stage": 3,
        "gradient_checkpointing": True,
        "timeout": 3600,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    topology = ["--config_file", str(ROOT / "launch" / "cpu_pair.yaml")]
    words = [str(Path(sys.executable).with_name("accelerate")), "launch", *topology]
    began = time.monotonic()
    launch = subprocess.Popen([*words, "-m", "hyperofa.train", str(folder / "run.yaml")])
    peak = 0
    while launch.poll() is None:
        peak = max(peak, memory_of(psutil.Process(launch.pid)))
        time.sleep(0.2)
    if launch.returncode:
        raise SystemExit(f"train_size: the run ended with {launch.returncode}")
    from hyperofa.train.metrics import METRICS_FILE, read_metrics

    rows = read_metrics(folder / "run" / METRICS_FILE)
    return peak, time.monotonic() - began, [row["loss"] for row in rows]


def memory_of(launcher: psutil.Process) -> int:
    """Proportional set size of the launcher's children: pages of files and of shared memory are counted once."""
    total = 0
    for process in launcher.children(recursive=True):
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


if __name__ == "__main__":
    sys.exit(main())
