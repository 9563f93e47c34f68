"""Parsers of the data files: line pairs, Bibles, two-column tags, CoNLL-U; each fault names its file and line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hyperofa_eval.errors import InputError
from hyperofa_eval.files import read_lines

UPOS = "ADJ|ADP|ADV|AUX|CCONJ|DET|INTJ|NOUN|NUM|PART|PRON|PROPN|PUNCT|SCONJ|SYM|VERB|X"
PREFIX = re.compile(r"[A-Za-z]{1,3}(-[A-Za-z]{1,8}){0,2}")
"""How PAN-X marks a token's Wikipedia: ``en``, ``zh-yue``, ``be-x-old``."""
SCHEMES = {"iob2": re.compile(r"O|[BI]-\S+"), "upos": re.compile(UPOS)}


@dataclass(frozen=True)
class Sentence:
    """One tagged sentence: ``tokens[i]`` has the tag ``tags[i]``."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]


def read_pairs(left: Path, right: Path) -> tuple[list[str], list[str]]:
    """Two line-aligned files as two lists of stripped lines.

    Raises:
        InputError: the files differ in length, a line is empty on one side, or there is none at all.
    """
    a, b = ([line.strip() for line in read_lines(path)] for path in (left, right))
    if len(a) != len(b):
        short, missing = (left, len(a) + 1) if len(a) < len(b) else (right, len(b) + 1)
        raise InputError(
            f"unaligned: {left.name} has {len(a)} lines, {right.name} has {len(b)}",
            where=f"{short}, line {missing}",
            todo="line i of one file must translate line i of the other",
        )
    for path, lines in ((left, a), (right, b)):
        for number, line in enumerate(lines, 1):
            if not line:
                raise InputError("empty line in a pair of files", where=f"{path}, line {number}")
    if not a:
        raise InputError("the test set is empty", where=left)
    return a, b


def read_verses(path: Path) -> dict[str, str]:
    """``id<TAB>text`` lines as a dictionary, in the order of the file.

    Raises:
        InputError: a line without a tab, without text, or with an id that was there before; an empty file.
    """
    verses: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        name, tab, text = line.partition("\t")
        if not tab or not name.strip() or not text.strip():
            raise InputError("not id<TAB>text", where=f"{path}, line {number}")
        if name in verses:
            raise InputError(f"the id {name!r} comes twice", where=f"{path}, line {number}")
        verses[name] = text.strip()
    if not verses:
        raise InputError("the test set is empty", where=path)
    return verses


def read_tagged(path: Path, scheme: str | None = None) -> list[Sentence]:
    """Sentences of ``token<TAB>tag`` lines, blank line between sentences, or of a ``.conllu`` file (UPOS).

    A token may hold any character but the separator: a non-breaking space stays inside its token. PAN-X's
    language prefix (``en:word``) is removed where every token of the file has the same one.

    Raises:
        InputError: a line is not of the format, or a tag is outside the scheme (``iob2``, ``upos``; None takes any).
    """
    conllu = path.name.removesuffix(".xz").endswith(".conllu")
    sentences: list[Sentence] = []
    tokens: list[str] = []
    found: list[str] = []
    for number, line in enumerate([*read_lines(path), ""], 1):
        if not line.strip(" \t"):
            if tokens:
                sentences.append(Sentence(tuple(tokens), tuple(found)))
                tokens, found = [], []
            continue
        pair = _conllu(line) if conllu else _columns(line)
        if pair is None:
            continue
        if len(pair) != 2 or not all(pair):
            what = f"{len(pair)} columns, not token<TAB>tag" if len(pair) > 2 else "not token<TAB>tag"
            raise InputError(what, where=f"{path}, line {number}", todo="keep the token and its tag alone")
        if scheme is not None and not SCHEMES[scheme].fullmatch(pair[1]):
            raise InputError(f"the tag {pair[1]!r} is not in the scheme {scheme}", where=f"{path}, line {number}")
        tokens.append(pair[0])
        found.append(pair[1])
    if not sentences:
        raise InputError("no sentences in the file", where=path)
    return _without_prefix(sentences)


def _columns(line: str) -> tuple[str, ...]:
    """The fields of a line: between tabs, or, where there is none, between spaces (a non-breaking one is no separator)."""
    if "\t" in line:
        fields = [field.strip(" ") for field in line.split("\t")]
        while len(fields) > 2 and not fields[-1]:
            fields.pop()
        return tuple(fields)
    fields = [field for field in line.split(" ") if field]
    return tuple(fields) if len(fields) > 1 else (*fields, "")


def _conllu(line: str) -> tuple[str, ...] | None:
    """Form and UPOS of a CoNLL-U line; None for comments, multi-word ranges (1-2) and empty nodes (1.1)."""
    if line.startswith("#"):
        return None
    fields = line.split("\t")
    if len(fields) != 10:
        return "", ""
    return None if "-" in fields[0] or "." in fields[0] else (fields[1], fields[3])


def _without_prefix(sentences: list[Sentence]) -> list[Sentence]:
    prefix, colon, _ = sentences[0].tokens[0].partition(":")
    if not colon or PREFIX.fullmatch(prefix) is None:
        return sentences
    mark = prefix + ":"
    if not all(token.startswith(mark) and token != mark for sentence in sentences for token in sentence.tokens):
        return sentences
    cut = len(mark)
    return [Sentence(tuple(token[cut:] for token in s.tokens), s.tags) for s in sentences]
