"""Tokenise and pack text for training.

python examples/prepare_corpus.py runs/example/model kab=kab.txt eng=eng.txt --length 512 --out runs/example/corpus
"""

import argparse

import hyperofa


def main(words: list[str] | None = None) -> None:
    """Write the corpus, and print what each language has in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer", help="the extended tokenizer, or the model's directory")
    parser.add_argument("text", nargs="+", metavar="LANG=FILE", help="documents of each language, one a line")
    parser.add_argument("--length", type=int, default=512, help="tokens per sequence")
    parser.add_argument("--out", required=True, help="the directory to write")
    args = parser.parse_args(words)

    corpus = hyperofa.prepare_corpus(args.tokenizer, args.text, out=args.out, length=args.length)

    for language in corpus.meta["languages"]:
        print(
            f"{language['name']}: {language['documents']} documents, {language['sequences']} sequences of {args.length}"
        )


if __name__ == "__main__":
    main()
