"""Paths, and text by language, as a command line or a caller gives them; what is none is refused by the argument's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hyperofa.base.wordkeys import is_language
from hyperofa.errors import DataMissingError, InputError
from hyperofa_eval.settings.fields import SettingError
from hyperofa_eval.text.textfiles import JSON, TABLES, plain_name

Paths = str | Path | Sequence[str | Path]
Texts = Paths | Mapping[str, Paths]
"""Text by language: a mapping to a file or several, or files and ``LANG=FILE`` words."""


def path_of(given: object, name: str) -> Path:
    """The path ``given`` as the argument ``name``; raises :class:`SettingError` for anything else."""
    if not isinstance(given, str | Path):
        raise SettingError(name, f"{type(given).__name__} is no path")
    return Path(given)


def paths_of(given: Paths, name: str) -> list[Path]:
    """One path or several, as a list; see :func:`path_of`."""
    return [Path(path) for path in _listed(given, name)]


def _listed(given: Paths, name: str) -> list[str | Path]:
    listed = [given] if isinstance(given, str | Path) else list(given) if isinstance(given, Sequence) else [given]
    for path in listed:
        path_of(path, name)
    return listed


def language_words(given: Texts, name: str, *, is_name: Callable[[str], bool] = is_language) -> dict[str, list[str]]:
    """Files as they are written, by language; a bare file takes the language from its name (``ces.txt.xz`` is ``ces``).
    ``name`` is the argument's, for errors; ``is_name`` says what a language may be called.

    Raises:
        SettingError: no language is named, or no file.
    """
    if isinstance(given, Mapping):
        todo = "use codes such as eng"
        named = [(f"{code}={file}", code, str(file)) for code, own in given.items() for file in _listed(own, name)]
    else:
        todo = "write LANG=FILE, such as eng=news.txt"
        named = [(str(word), *_named_file(word)) for word in _listed(given, name)]
    files: dict[str, list[str]] = {}
    for word, language, file in named:
        if not is_name(language) or not file:
            raise SettingError(name, f"no language code in {word!r}", todo=todo)
        files.setdefault(language, []).append(file)
    return files


def _named_file(word: str | Path) -> tuple[str, str]:
    """The language and the file of ``LANG=FILE``, or of a file that is named after its language."""
    language, equals, file = str(word).partition("=")
    if not equals or isinstance(word, Path) or Path(word).exists():
        return Path(word).name.partition(".")[0], str(word)
    return language, file


def language_files(given: Texts, name: str = "text", *, plain: bool = True) -> dict[str, list[Path]]:
    """Files by language (see :func:`language_words`), of which each is there.
    With ``plain`` they are read as plain text, so that one with objects or columns by its name is refused.

    Raises:
        InputError: no language code is there, or the file is no plain text by its name.
        DataMissingError: a file is not there.
    """
    files = {language: [Path(file) for file in own] for language, own in language_words(given, name).items()}
    for path in (path for own in files.values() for path in own):
        if not path.is_file():
            raise DataMissingError("no such file", where=path)
        if plain and plain_name(path).lower().endswith((*JSON, *TABLES)):
            todo = "write its texts as lines, such as with jq -r .text"
            raise InputError("only plain text is read here", where=path, todo=todo)
    return files
