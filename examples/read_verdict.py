"""Read what an initialised model does beside its source, on text kept out: before a GPU hour is spent.

python examples/read_verdict.py runs/example/model
"""

import argparse
import json
from pathlib import Path


def main(words: list[str] | None = None) -> None:
    """Print the verdict in one line, and the figures of each language."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a directory that initialise_model.py or hyperofa init wrote")
    args = parser.parse_args(words)

    verdict = json.loads((args.model / "init.json").read_text(encoding="utf-8")).get("verdict")
    if verdict is None:
        raise SystemExit(f"{args.model} was initialised without text, so nothing was measured")

    print(verdict["line"])
    for language, row in verdict["languages"].items():
        saved = 1 - row["tokens"]["extended"] / row["tokens"]["own"]
        print(f"{language}: {row['verdict'] or 'not judged'}, {saved:.0%} fewer tokens in {row['lines']} lines")
        for metric in verdict["decides"]:
            if metric in row:
                print(f"    {metric}: {row[metric]['own']:.3f} before, {row[metric]['extended']:.3f} now")


if __name__ == "__main__":
    main()
