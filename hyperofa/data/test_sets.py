"""What a recipe asks of the harness: whether it knows the tasks, which test sets they read, and where those lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hyperofa.errors import DataMissingError, HyperofaError, InputError

SCREENED = ("tatoeba", "bible", "ner", "pos")
"""Test sets that are kept out of training text whichever tasks are asked for."""


@contextmanager
def asking(where: object) -> Iterator[None]:
    """Put the place that asked before the errors of a block."""
    try:
        yield
    except HyperofaError as error:
        kind = next(kind for kind in (DataMissingError, InputError, HyperofaError) if isinstance(error, kind))
        raise kind(str(error), where=where) from error


def find_tasks(names: Sequence[str], extensions: Sequence[Path] = (), protocol: str | None = None) -> list[Any]:
    """The harness's tasks of these names; a user's own ``extensions`` (``--with FILE.py``) are run first.

    Args:
        names: Names of tasks.
        extensions: Files that add tasks or languages.
        protocol: The protocol they must be of (None: any, where only the data matters).

    Raises:
        InputError: no such task or protocol. DataMissingError: a file is not there.
    """
    from hyperofa_eval.tasks import extensions as added
    from hyperofa_eval.tasks.protocols import PROTOCOLS
    from hyperofa_eval.tasks.registry import choose, tasks

    added.load(extensions)
    if protocol is not None:
        return list(choose(",".join(names), protocol))
    home = {name: each for each in reversed(PROTOCOLS) for name in tasks(each)}
    return [choose(name, home.get(name, "default"))[0] for name in dict.fromkeys(names)]


def corpora_of(tasks: Sequence[Any]) -> list[str]:
    """The folders of test sets that tasks read, so that their lines can be kept out of training text.

    Raises:
        InputError: a task does not say which.
    """
    corpora: dict[str, None] = {}
    for task in tasks:
        corpus = getattr(task, "corpus", None)
        if not isinstance(corpus, str):
            what = "it does not say which test sets it reads, so they cannot be kept out of training"
            todo = "give it an attribute corpus, the name of their folder"
            raise InputError(what, where=f"task {task.name}", todo=todo)
        corpora[corpus] = None
    return list(corpora)


def tested_files(test: Path, corpora: Sequence[str], languages: Sequence[str]) -> dict[tuple[str, str], list[Path]]:
    """The files of each test set that there is, by corpus and language: what the harness would read to score them.

    The same language under another script's code counts too: text named ``tur`` must not hold the test lines of ``tur_Latn``.
    """
    from hyperofa_eval.data.layout import DataFolder
    from hyperofa_eval.languages import SCRIPT, bare

    data = DataFolder(test)
    files_of, stems = {}, {bare(code) for code in languages}
    for corpus in corpora:
        with_script = [code for code in data.others(corpus) if SCRIPT.fullmatch(code.partition("_")[2])]
        related = [code for code in with_script if bare(code) in stems]
        for code in dict.fromkeys([*languages, *related]):
            if files := data.files(corpus, code):
                files_of[corpus, code] = list(files)
    return files_of


def refuse_tested(training: Sequence[Path], tested: Sequence[Path]) -> None:
    """Refuse training text that is a test set as well.

    Raises:
        InputError: names the first file that is both.
    """
    places = {path.resolve() for path in tested}
    for path in training:
        if path.resolve() in places:
            what = "it is training text and a task's test set at once"
            raise InputError(what, where=path, todo="hold a part out, in another folder")
