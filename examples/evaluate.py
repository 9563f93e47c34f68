"""Score any model: how often an English sentence finds its translation, for instance.

python examples/evaluate.py runs/example/dense data/ --tasks sr-t --languages kab
"""

import argparse

import hyperofa_eval


def main(words: list[str] | None = None) -> None:
    """Run the tasks and print each language's score beside chance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a directory or a hub id")
    parser.add_argument("data", help="a folder of test sets, such as data/tatoeba/kab-eng.{kab,eng}")
    parser.add_argument("--tasks", nargs="+", default=["sr-t"], help="hyperofa-eval list shows all")
    parser.add_argument("--languages", nargs="+", help="codes (default: all that the harness lists)")
    args = parser.parse_args(words)

    scores = hyperofa_eval.evaluate(args.model, args.tasks, args.data, languages=args.languages)

    for name, task in scores["tasks"].items():
        for row in task["rows"]:
            low, high = row["ci95"]
            chance = "" if row["chance"] is None else f", chance {row['chance']}"
            print(f"{name} {row['language']}: {row['value']:.2f} ({low:.2f} to {high:.2f}) of {row['n']}{chance}")


if __name__ == "__main__":
    main()
