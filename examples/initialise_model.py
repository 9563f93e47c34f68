"""Write the embeddings of a larger vocabulary into a model.

python examples/initialise_model.py xlm-roberta-base runs/example/tokenizer --text kab=kab.txt --parallel parallel/ \
    --out runs/example/model
"""

import argparse

import hyperofa


def main(words: list[str] | None = None) -> None:
    """Initialise the model, save it, and print where its rows come from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="the model to extend: a directory or a hub id")
    parser.add_argument("tokenizer", help="the larger tokenizer: a directory or a hub id")
    parser.add_argument("--text", nargs="+", default=[], metavar="LANG=FILE", help="text that new rows learn from")
    parser.add_argument("--parallel", nargs="+", default=[], metavar="DIR", help="folders of LANG.txt, line by line")
    parser.add_argument("--method", default="spelling-network", help="hyperofa init --list-methods shows all")
    parser.add_argument("--steps", type=int, help="steps in which new rows learn (default: as many as they need)")
    parser.add_argument("--rank", type=int, help="columns of factorised embeddings (default: not factorised)")
    parser.add_argument("--out", required=True, help="the directory to write")
    args = parser.parse_args(words)

    vectors = hyperofa.build_vectors(args.parallel, dim=100) if args.parallel else None
    extended = hyperofa.initialise(
        args.source,
        args.tokenizer,
        vectors,
        text=args.text,
        parallel=args.parallel,
        method=args.method,
        rank=args.rank,
        refine_options={} if args.steps is None else {"steps": args.steps},
    )
    extended.save_pretrained(args.out)

    for kind, count in extended.report["counts"].items():
        print(f"{count:>9} rows {kind}")
    print(extended.verdict)


if __name__ == "__main__":
    main()
