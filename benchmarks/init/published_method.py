"""The published method at its own sizes: how long an epoch takes, how the loss falls, and what its rows score.

    python benchmarks/init/published_method.py --source DIR --tokenizer DIR --vectors DIR --data DIR --work DIR [--rank 100]
                                          [--seconds 240] [--device cuda] [--beside random ofa ofa-ridge]

Fits the hypernetwork of ``hyperofa init --method hyperofa`` for at most ``--seconds`` (or until all epochs are done), then scores
the rows that it predicts by then (SR-T, top-10, before any training) beside other methods at the same rank. Started again with
the same ``--work`` it goes on where it was. Sizes, epochs and schedule are the paper's table 1. ``--data`` is a folder of test
sets for ``hyperofa-eval``; of a quick start ``RUN/data/test``, with ``RUN/tokenizer``, ``RUN/vectors``, ``RUN/sources/minilm``.
The last line is one JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from init_quality import run
from peers import machine

STATE = Path("state") / "hypernet-0" / "hypernet.json"


class TimeUp(BaseException):
    """Raised in the middle of an epoch, whose work is lost; the epochs before it are kept."""


def main() -> int:
    """Fit, score and report; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("source", "tokenizer", "vectors", "data", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--rank", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=240, help="of fitting; 0 only reports what there is")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--beside", nargs="*", default=["random", "ofa", "ofa-ridge"], help="other methods to score")
    args = parser.parse_args()
    for name, inside in (
        ("source", "config.json"),
        ("tokenizer", "tokenizer.json"),
        ("vectors", "meta.json"),
        ("data", "."),
    ):
        if not (getattr(args, name) / inside).exists():
            parser.error(f"--{name} {getattr(args, name)}: no {inside} in it")
    if args.seconds < 0:
        parser.error(f"--seconds {args.seconds}: below 0")
    args.work.mkdir(parents=True, exist_ok=True)
    history = fitted(args)
    done = len(history["train"])
    if not done:
        sys.exit(f"{args.work}: no epoch done in {args.seconds:.0f} s; give more --seconds")
    print_curve(history)
    scores = {"hyperofa": score(args, "hyperofa", f"hyperofa-{done}", {"epochs": done})}
    scores |= {name: score(args, name, name, {}) for name in args.beside}
    each = statistics.median(history["seconds"])
    report = json.loads((args.work / f"hyperofa-{done}" / "model" / "init.json").read_text(encoding="utf-8"))
    network, of_all = (
        report["method_notes"]["hypernetwork"],
        json.loads((args.work / "all.json").read_text(encoding="utf-8")),
    )
    outcome = {
        "epochs": done,
        "of": of_all["epochs"],
        "seconds_an_epoch": round(each, 2),
        "hours_for_all": round(each * of_all["epochs"] / 3600, 2),
        "epochs_in_an_hour": int(3600 / each),
        "parameters": network["report"]["parameters"],
        "tokens": of_all["tokens"],
        "train": [round(loss, 4) for loss in history["train"]],
        "validation": [round(loss, 4) for loss in history["validation"]],
        "held_out_cosine": network["report"]["held_out_cosine"],
        "sr_t_top10": scores,
        "rank": args.rank,
        "machine": machine(),
    }
    print(json.dumps(outcome))
    return 0


def fitted(args: argparse.Namespace) -> dict[str, list[float]]:
    """The losses by epoch after fitting for the asked time, and the seconds that each epoch took."""
    import hyperofa
    from hyperofa.init.hypernet import fit as fitting
    from hyperofa.init.methods import hyperofa as method

    times = args.work / "seconds.json"
    seconds: list[float] = json.loads(times.read_text(encoding="utf-8")) if times.is_file() else []
    save, sizes, began = fitting.save_fit, method.paper_setting, time.perf_counter()

    def stamped(store: Any, model: Any, optimizer: Any, history: Any, best: Any) -> None:
        nonlocal began
        save(store, model, optimizer, history, best)
        del seconds[len(history["train"]) - 1 :]
        seconds.append(time.perf_counter() - began)
        times.write_text(json.dumps(seconds), encoding="utf-8")
        print(f"epoch {len(history['train'])}: {seconds[-1]:.1f} s", file=sys.stderr, flush=True)
        began = time.perf_counter()

    def noted(pairs: int, rank: int, settings: Any = None) -> Any:
        nonlocal began
        paper_sizes = sizes(pairs, rank, settings)
        (args.work / "all.json").write_text(
            json.dumps({"epochs": paper_sizes[1].epochs, "tokens": pairs}), encoding="utf-8"
        )
        began = time.perf_counter()
        return paper_sizes

    fitting.save_fit, method.paper_setting = stamped, noted
    try:
        with limited(args.seconds):
            hyperofa.initialise(
                args.source,
                args.tokenizer,
                args.vectors,
                method="hyperofa",
                rank=args.rank,
                seed=args.seed,
                options={"device": args.device},
                work=args.work / "state",
            )
    except TimeUp:
        pass
    finally:
        fitting.save_fit, method.paper_setting = save, sizes
    if not (args.work / STATE).is_file():
        return {"train": [], "validation": [], "seconds": []}
    history: dict[str, list[float]] = json.loads((args.work / STATE).read_text(encoding="utf-8"))["history"]
    return history | {"seconds": seconds[1:] or seconds}  # the first also waits for the vectors to be read


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise :class:`TimeUp` after so many seconds."""

    def stop(*_: Any) -> None:
        raise TimeUp

    if not seconds:
        raise TimeUp
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def score(args: argparse.Namespace, method: str, name: str, options: dict[str, Any]) -> float:
    """SR-T top-10 of a method's rows."""
    import hyperofa

    cell: Path = args.work / name
    if not (cell / "model" / "init.json").is_file():
        options = options | ({"device": args.device} if method == "hyperofa" else {})
        work = args.work / "state" if method == "hyperofa" else None
        given = {
            "method": method,
            "rank": args.rank,
            "seed": args.seed,
            "options": options,
            "work": work,
            "held_out": 0,
        }
        hyperofa.initialise(args.source, args.tokenizer, args.vectors, **given).save_pretrained(cell / "model")
    if not (cell / "eval" / "summary.json").is_file():
        run("hyperofa_eval", "run", cell / "model", "--tasks", "sr-t", "--data", args.data, "--out", cell / "eval")
    task = json.loads((cell / "eval" / "summary.json").read_text(encoding="utf-8"))["tasks"]["sr-t"]
    return round(float(task["mean"]), 2)


def print_curve(history: dict[str, list[float]]) -> None:
    """The losses, a line for each of at most twenty epochs."""
    count = len(history["train"])
    for epoch in sorted({round(1 + i * (count - 1) / 19) for i in range(20)}):
        line = f"epoch {epoch:4}: loss {history['train'][epoch - 1]:.3f}"
        if history["validation"]:
            line += f", of tokens kept out {history['validation'][epoch - 1]:.3f}"
        print(line)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main())
