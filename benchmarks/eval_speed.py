"""Speed of the evaluation harness: encoding against a file-order, fixed-width loop and the bare forward pass; search memory.

    python benchmarks/eval_speed.py [--model DIR] [--data DIR] [--out benchmarks/results/eval_speed.json]

Both sides run in turn in one process, on the same sentences, with the same weights; medians are compared. With --data
the whole Tatoeba set is encoded, English once and every language (--sentences takes a sample). The loop, whose time is
in proportion to the number of sentences, encodes a sample of --loop-sentences, and its time is scaled up to all of them.
Without --model a MiniLM-shaped BERT with random weights is used (speed does not depend on the values); without --data,
sentences of Tatoeba's lengths are made up. Exit code 1 where a floor is missed. The last line is one JSON, which names
the model and the data.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FASTER_THAN_LOOP = 3.0
OVER_FORWARD = 1.15
SEARCH_GB = 2.0
VERSES = 31_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model directory (default: MiniLM's shape, random weights)")
    parser.add_argument("--data", type=Path, help="a folder with tatoeba/ (default: made-up sentences)")
    parser.add_argument("--sentences", type=int, help="sentences encoded (default: all of --data, 256 made-up ones)")
    parser.add_argument("--loop-sentences", type=int, default=256, help="sentences that the slow loop encodes")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--search", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.search:
        return search()
    result = encoding(args) | search_memory()
    floors = {
        "loop_over_harness": result["loop_over_harness"] >= FASTER_THAN_LOOP,
        "harness_over_forward": result["harness_over_forward"] <= OVER_FORWARD,
        "search_peak_gb": result["search_peak_gb"] <= SEARCH_GB,
    }
    result |= {"floors_met": floors, "machine": machine()}
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    return 0 if all(floors.values()) else 1


def encoding(args: argparse.Namespace) -> dict[str, Any]:
    """Times of the harness, the fixed-width loop and the bare forward pass over the same sentences."""
    import torch

    from hyperofa_eval.models.encoder import pad
    from hyperofa_eval.models.encoding import EncodeSettings

    model, tokenizer = load(args.model)
    texts = sentences(args.data, args.sentences)
    few = random.Random(1).sample(texts, min(args.loop_sentences, len(texts)))
    block = model.config.num_hidden_layers
    settings = EncodeSettings(block)
    ids = sorted(tokenizer(texts)["input_ids"], key=len)
    batches = [pad(ids[i : i + 64], 0, "cpu") for i in range(0, len(ids), 64)]

    def harness() -> None:
        fresh(model, tokenizer).encode(texts, settings)

    def loop() -> None:
        with torch.inference_mode():
            for start in range(0, len(few), 32):
                options = {"padding": "max_length", "truncation": True, "max_length": 512, "return_tensors": "pt"}
                encoded = tokenizer(few[start : start + 32], **options)
                states = model(**encoded, output_hidden_states=True).hidden_states[block]
                mask = encoded["attention_mask"][..., None]
                (states * mask).sum(1) / mask.sum(1)

    def forward() -> None:
        with torch.inference_mode():
            for tokens, mask in batches:
                model(input_ids=tokens, attention_mask=mask)

    sides = {"harness": harness, "forward": forward, "loop": loop}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(args.repeats + 1):
        for name, side in sides.items():
            if name == "loop" and repeat > 1:
                continue  # minutes long, and far from its floor: once after the warm-up is enough
            started = time.perf_counter()
            side()
            if repeat:  # the first round warms up
                times[name].append(time.perf_counter() - started)
    median = {name: statistics.median(values) for name, values in times.items()}
    median["loop"] *= len(texts) / len(few)
    return {
        "model": described(args.model, model),
        "data": "made up" if args.data is None else f"tatoeba: {' '.join(languages(args.data))}",
        "sentences": len(texts),
        "tokens": sum(map(len, ids)),
        "loop_sentences": len(few),
        "harness_s": round(median["harness"], 3),
        "loop_s": round(median["loop"], 3),
        "forward_s": round(median["forward"], 3),
        "loop_over_harness": round(median["loop"] / median["harness"], 2),
        "harness_over_forward": round(median["harness"] / median["forward"], 3),
    }


def load(name: str | None) -> tuple[Any, Any]:
    if name is not None:
        from hyperofa_eval.models.loading import load_model

        loaded = load_model(name)
        return loaded.body, loaded.tokenizer
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(a + b for a in letters for b in letters)]
    pieces += ["##" + piece for piece in pieces[4:]]
    backend = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", model_max_length=512)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30_522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    return BertModel(config).eval(), tokenizer


def fresh(model: Any, tokenizer: Any) -> Any:
    """The harness's model without anything cached; its hash is taken before the clock starts in a real run too."""
    from hyperofa_eval.models.encoder import Encoder
    from hyperofa_eval.models.loaded import LoadedModel

    loaded = LoadedModel(model, tokenizer, "benchmark")
    loaded.identity = {"sha256": "benchmark", "tokenizer_sha256": ""}
    return Encoder(loaded)


def described(name: str | None, model: Any) -> str:
    config = model.config
    shape = f"{config.num_hidden_layers} x {config.hidden_size}, vocabulary {config.vocab_size}"
    return f"{'random weights' if name is None else Path(name).name} ({config.model_type} {shape})"


def languages(data: Path) -> list[str]:
    from hyperofa_eval.data.layout import DataFolder
    from hyperofa_eval.languages import PIVOT, languages

    folder = DataFolder(data)
    return [code for code in languages() if code != PIVOT and folder.has("tatoeba", code)]


def sentences(data: Path | None, n: int | None) -> list[str]:
    """The texts that a run on the Tatoeba set encodes, once each, or as many made-up ones."""
    if data is not None:
        from hyperofa_eval.data.layout import DataFolder

        pairs = [DataFolder(data).pairs("tatoeba", code) for code in languages(data)]
        texts = list(dict.fromkeys(text for pair in pairs for text in (*pair.english, *pair.other)))
        return texts if n is None else random.Random(0).sample(texts, min(n, len(texts)))
    n = 256 if n is None else n
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(5000)]
    return [" ".join(rng.choices(words, k=min(30, 2 + int(rng.expovariate(0.2))))) for _ in range(n)]


def search() -> int:
    """The retrieval of 31,000 x 31,000 verses of 768 dimensions, in a process of its own for its peak memory."""
    import numpy as np

    from hyperofa_eval.scoring.search import ranks

    queries, index = np.random.default_rng(0).standard_normal((2, VERSES, 768), dtype=np.float32)
    started = time.perf_counter()
    places = ranks(queries, index)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        json.dumps(
            {"search_s": round(seconds, 2), "search_peak_gb": round(peak, 3), "median_rank": float(np.median(places))}
        )
    )
    return 0


def search_memory() -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, "--search"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> dict[str, Any]:
    import torch

    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
    }


if __name__ == "__main__":
    sys.exit(main())
