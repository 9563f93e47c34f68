"""Give a model's tokenizer entries for new languages, and show how many tokens that saves.

python examples/extend_tokenizer.py xlm-roberta-base kab=kab.txt --vocab-size 265000 --out runs/example/tokenizer
"""

import argparse

import hyperofa


def main(words: list[str] | None = None) -> None:
    """Extend the tokenizer, save it, and print tokens a word before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="a model or tokenizer: a directory or a hub id")
    parser.add_argument("text", nargs="+", metavar="LANG=FILE", help="text of each new language, a sentence a line")
    parser.add_argument("--vocab-size", type=int, required=True, help="entries in all, those of the source included")
    parser.add_argument("--out", required=True, help="the directory to write")
    args = parser.parse_args(words)

    tokenizer = hyperofa.extend_tokenizer(args.source, args.text, vocab_size=args.vocab_size, out=args.out)

    print(f"{len(tokenizer)} entries in {args.out}")
    before, after = (tokenizer.hyperofa_report["fertility"][when] for when in ("before", "after"))
    for language in before:
        was, now = (figures[language]["tokens_per_word"] for figures in (before, after))
        print(f"{language}: {was:.2f} tokens a word, now {now:.2f}")


if __name__ == "__main__":
    main()
