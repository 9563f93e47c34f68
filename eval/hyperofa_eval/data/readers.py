"""Parsers of the data files: line pairs, two-column tags, CoNLL-U; each fault names its file and line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.text.paired import read_aligned
from hyperofa_eval.text.prefixes import Note, find_prefix
from hyperofa_eval.text.textfiles import plain_name, read_lines

UPOS = "ADJ|ADP|ADV|AUX|CCONJ|DET|INTJ|NOUN|NUM|PART|PRON|PROPN|PUNCT|SCONJ|SYM|VERB|X"
SCHEMES = {"iob2": re.compile(r"O|[BI]-\S+"), "upos": re.compile(UPOS)}
SCHEME_OF = {"ner": "iob2", "pos": "upos"}
"""The scheme of each tagged corpus."""
UNTAGGED = "_"
"""What stands for a tag beside a contraction, whose words follow with tags of their own."""


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
    a, b = read_aligned([left, right])
    for path, lines in ((left, a), (right, b)):
        if "" in lines:
            raise InputError("empty line in a pair of files", where=f"{path}, line {lines.index('') + 1}")
    if not a:
        raise InputError("the test set is empty", where=left)
    return a, b


def read_tagged(path: Path, scheme: str | None = None, notes: list[Note] | None = None) -> list[Sentence]:
    """Sentences of ``token<TAB>tag`` lines, blank line between sentences, or of a ``.conllu`` file (UPOS).

    A token may hold any character but the separator: a non-breaking space stays inside its token. PAN-X's
    language prefix (``en:word``) is removed where nearly every token of the file has the same one. Lines without a tag
    (``_``; in CoNLL-U also the ranges and empty nodes) are left out. Both are said in ``notes``, with their numbers.

    Raises:
        InputError: a line is not of the format, or a tag is outside the scheme (``iob2``, ``upos``; None takes any).
    """
    conllu = plain_name(path).endswith(".conllu")
    sentences: list[list[tuple[int, str, str]]] = [[]]
    untagged: list[int] = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip(" \t"):
            sentences.append([])
        elif not (conllu and line.startswith("#")):
            token, tag = _pair(line, f"{path}, line {number}", conllu=conllu)
            if tag == UNTAGGED and (conllu or scheme is not None):
                untagged.append(number)
                continue
            if scheme is not None and not SCHEMES[scheme].fullmatch(tag):
                raise InputError(f"the tag {tag[:40]!r} is not in the scheme {scheme}", where=f"{path}, line {number}")
            sentences[-1].append((number, token, tag))
    sentences = [sentence for sentence in sentences if sentence]
    if not sentences:
        todo = f"its {len(untagged)} lines have no tag but {UNTAGGED!r}" if untagged else None
        raise InputError("no sentences in the file", where=path, todo=todo)
    prefix, prefix_notes = find_prefix([(number, token) for sentence in sentences for number, token, _ in sentence])
    if untagged:
        text = f"{len(untagged)} lines without a tag ({UNTAGGED}) are left out, the first is line {untagged[0]}"
        prefix_notes = [Note(text), *prefix_notes]
    if notes is not None:
        notes += prefix_notes
    return [
        Sentence(tuple(token.removeprefix(prefix) or token for _, token, _ in rows), tuple(tag for _, _, tag in rows))
        for rows in sentences
    ]


def _pair(line: str, where: str, *, conllu: bool) -> tuple[str, str]:
    """The token and the tag of a line; raises :class:`InputError` where it has not just these."""
    fields = _conllu(line) if conllu else _columns(line)
    if len(fields) == 2 and all(fields):
        return fields[0], fields[1]
    if conllu:
        todo = "columns 2 and 4 are the word and its UPOS"
        raise InputError("not the ten columns of CoNLL-U", where=where, todo=todo)
    what = f"{len(fields)} columns, not token<TAB>tag" if len(fields) > 2 else "not token<TAB>tag"
    raise InputError(what, where=where, todo="keep the token and its tag alone")


def _columns(line: str) -> tuple[str, ...]:
    """The fields of a line: between tabs, or, where there is none, between spaces (a non-breaking one is no separator)."""
    if "\t" in line:
        fields = [field.strip(" ") for field in line.split("\t")]
        while len(fields) > 2 and not fields[-1]:
            fields.pop()
        return tuple(fields)
    fields = [field for field in line.split(" ") if field]
    return tuple(fields) if len(fields) > 1 else (*fields, "")


def _conllu(line: str) -> tuple[str, ...]:
    """Form and UPOS of a CoNLL-U line; multi-word ranges (1-2) and empty nodes (1.1) are words without a tag."""
    fields = line.split("\t")
    if len(fields) != 10:
        return ()
    return fields[1], UNTAGGED if "-" in fields[0] or "." in fields[0] else fields[3]
