"""How long the help of every command takes, against a Python that does nothing.

    python benchmarks/help_speed.py [--rounds 3] [--out benchmarks/results/help_speed.json]

The best of some rounds counts, since other work on the machine only adds to it. Exits 1 if a help takes 0.3 s or more.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

from hyperofa_eval.settings.commands import Command, commands_of

LIMIT = 0.3
"""Seconds a help may take."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    nothing = seconds([sys.executable, "-c", "pass"], args.rounds)
    times = {" ".join(words[2:-1]): seconds(words, args.rounds) for words in helps()}
    for name, taken in sorted(times.items(), key=lambda item: -item[1]):
        print(f"{taken:.3f} s  {name}")
    slowest = max(times, key=lambda name: times[name])
    result = {"slowest": slowest, "seconds": round(times[slowest], 3), "python": round(nothing, 3)}
    result |= {"ratio": round(times[slowest] / nothing, 1), "limit": LIMIT, "commands": len(times)}
    if args.out is not None:
        args.out.write_text(
            json.dumps(result | {"all": {name: round(s, 3) for name, s in times.items()}}, indent=2) + "\n"
        )
    print(json.dumps(result))
    return int(times[slowest] >= LIMIT)


def helps() -> list[list[str]]:
    """The words of every help: of both programs, their commands and the actions of these."""
    words = []
    for package in ("hyperofa", "hyperofa_eval"):
        run = [sys.executable, "-m", f"{package}.cli" if package == "hyperofa" else package]
        words.append([*run, "--help"])
        for name, (module, _) in importlib.import_module(f"{package}.cli").COMMANDS.items():
            words.append([*run, name, "--help"])
            commands = commands_of(importlib.import_module(module))
            if not isinstance(commands, Command):
                words += [[*run, name, action, "--help"] for action in commands]
    return words


def seconds(words: list[str], rounds: int) -> float:
    """The shortest wall time of some runs of a command."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return min(taken)


if __name__ == "__main__":
    sys.exit(main())
