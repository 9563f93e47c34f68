"""Turn a model with factorised embeddings into a plain one, which loads without this package.

python examples/export_dense.py runs/example/run/final runs/example/dense
"""

import argparse

from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

import hyperofa


def main(words: list[str] | None = None) -> None:
    """Load the model with its head, multiply the factors, and save the plain model with its tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a model that was initialised or trained here")
    parser.add_argument("out", help="the directory to write")
    args = parser.parse_args(words)

    (kind,) = AutoConfig.from_pretrained(args.model).architectures
    model = (AutoModelForMaskedLM if "MaskedLM" in kind else AutoModelForCausalLM).from_pretrained(args.model)
    dense = hyperofa.export_dense(model)
    dense.save_pretrained(args.out)
    AutoTokenizer.from_pretrained(args.model).save_pretrained(args.out)

    print(f"{type(model).__name__} is now {type(dense).__name__} in {args.out}")


if __name__ == "__main__":
    main()
