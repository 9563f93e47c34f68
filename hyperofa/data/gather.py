"""Bring parallel and plain text of many files together as one training side that holds no line of the test sets."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperofa.base.files import check_output, made_by, named_inputs, new_directory
from hyperofa.base.wordkeys import is_language
from hyperofa.data.linekeys import has_letters, line_key
from hyperofa.data.parallel import ENGLISH, AlignedText, parallel_files, read_parallel, write_lines
from hyperofa.data.settings import GatherSettings
from hyperofa.data.split import documents
from hyperofa.data.test_sets import SCREENED, corpora_of, find_tasks, refuse_tested, tested_files
from hyperofa.errors import DataMissingError, InputError
from hyperofa_eval.base.files import write_json
from hyperofa_eval.settings.config import recorded

log = logging.getLogger(__name__)

MARKER = "gather.json"
SMALLEST_KEY = 6
"""Letters a test line has at least to be kept out: "yes" in a test set must not empty the training text of it."""


@dataclass(frozen=True)
class Gathered:
    """The training side: aligned text, plain text by language, and how many lines of each language are not in it."""

    parallel: AlignedText
    text: dict[str, list[str]]
    left_out: dict[str, int]
    """Test lines."""
    dropped: dict[str, dict[str, int]]
    """Lines left out for another reason, by reason and language."""


def gather(parallel: AlignedText, text: Mapping[str, Iterable[str]], tested: Mapping[str, set[str]]) -> Gathered:
    """Leave out every line whose :func:`line_key` is among ``tested[language]``.

    A row of parallel text whose English side is tested goes as a whole: what is left would still tie its translations.
    Repeated lines of plain text are kept once.
    """
    left_out = dict.fromkeys([ENGLISH, *parallel.translations, *text], 0)
    untested = [row for row, line in enumerate(parallel.english) if line_key(line) not in tested.get(ENGLISH, ())]
    left_out[ENGLISH] = len(parallel.english) - len(untested)
    dropped = {reason: Counter[str]() for reason in ("beside a test line", "repeated", "without letters")}
    translations = {}
    for language, lines in parallel.translations.items():
        keys = tested.get(language, set())
        dropped["beside a test line"][language] = sum(map(bool, lines)) - sum(bool(lines[row]) for row in untested)
        clean = [lines[row] if line_key(lines[row]) not in keys else "" for row in untested]
        left_out[language] += sum(map(bool, (lines[row] for row in untested))) - sum(map(bool, clean))
        translations[language] = clean
    plain: dict[str, list[str]] = {}
    for language, own in text.items():
        keys, seen = tested.get(language, set()), dict[str, None]()
        for line in own:
            clean_line = " ".join(line.replace("\0", " ").split())  # JSON can hold a NUL, which no plain text may
            if not has_letters(clean_line):
                dropped["without letters"][language] += 1
            elif line_key(clean_line) in keys:
                left_out[language] += 1
            else:
                dropped["repeated"][language] += clean_line in seen
                seen[clean_line] = None
        plain[language] = list(seen)
    rest = {reason: {language: n for language, n in counts.items() if n} for reason, counts in dropped.items()}
    return Gathered(AlignedText([parallel.english[row] for row in untested], translations), plain, left_out, rest)


def keys_of_tests(test: Path, languages: Iterable[str], corpora: Sequence[str] = SCREENED) -> dict[str, set[str]]:
    """The keys of all test lines of a folder that ``hyperofa-eval`` reads, by language; English sides under ``eng``.

    Args:
        test: The folder of test sets.
        languages: Codes of the languages to look for.
        corpora: The test sets, such as ``tatoeba``, ``text``, or one that a user's own task reads.

    Raises:
        DataMissingError: there is no such folder. InputError: a test set is not readable or not aligned.
    """
    from hyperofa_eval.data.layout import DataFolder
    from hyperofa_eval.languages import bare
    from hyperofa_eval.text.textfiles import plain_name

    languages = list(languages)
    keys_of: dict[str, set[str]] = {ENGLISH: set()}
    data = DataFolder(test)
    files = tested_files(test, corpora, languages)
    for (corpus, language), own in files.items():
        keys = keys_of.setdefault(language, set())
        if corpus == "bible" and (language == ENGLISH or (corpus, ENGLISH) not in files):
            continue  # verses are scored in pairs, and English ones come with each
        if corpus == "bible" or len(own) == 2:
            pairs = data.pairs(corpus, language)
            keys.update(map(line_key, pairs.other))
            keys_of[ENGLISH].update(map(line_key, pairs.english))
        elif corpus in {"ner", "pos"} or plain_name(own[0]).endswith(".tsv"):
            sentences, _ = data.tagged(corpus, language, "test", None)
            keys.update(line_key(" ".join(sentence.tokens)) for sentence in sentences)
        else:
            keys.update(map(line_key, data.text(corpus, language)[0]))
    # By bare code: a language's file may or may not name its script, and a line that equals a test line of the language in
    # another script (Chinese has many) is that test line.
    together: dict[str, set[str]] = {}
    for language, keys in keys_of.items():
        together.setdefault(bare(language), set()).update(key for key in keys if len(key) >= SMALLEST_KEY)
    return {code: together[bare(code)] for code in {*languages, *keys_of} if bare(code) in together}


def read_inputs(parallel: Sequence[Path], text: Sequence[Path]) -> tuple[AlignedText, dict[str, list[Path]]]:
    """Parallel corpora as one line-aligned text (rows without English included), and plain files by language.

    Of a folder of plain text, files named ``LANG.txt``, ``LANG.jsonl`` and the like are read; others are passed over and told.

    Raises:
        DataMissingError: a file is not there. InputError: corpora that do not align, or a name without a language.
    """
    from hyperofa.base.textfiles import language_files
    from hyperofa_eval.languages import is_pivot

    aligned = read_parallel(parallel).aligned() if parallel else AlignedText([], {})
    for path in text:
        if not path.exists():
            raise DataMissingError("no such text", where=path)
    files = [file for path in text for file in (_files_in(path) if path.is_dir() else [path])]
    by_language = language_files([str(file) for file in files], plain=False)
    for code in [code for code in by_language if is_pivot(code) and code != ENGLISH]:  # eng_Latn, as in parallel text
        by_language.setdefault(ENGLISH, []).extend(by_language.pop(code))
    return aligned, by_language


def _files_in(folder: Path) -> Iterator[Path]:
    from hyperofa.base.textfiles import JSON, TABLES
    from hyperofa_eval.text.textfiles import plain_name

    for file in sorted(folder.iterdir()):
        language, _, ending = plain_name(file).partition(".")
        if file.is_file() and is_language(language) and f".{ending}".lower().endswith((".txt", *JSON, *TABLES)):
            yield file
        elif not file.name.startswith("."):
            log.warning("%s: passed over: it is not named LANG.txt, LANG.jsonl or the like", file)


def write_gathered(
    parallel: Sequence[Path], text: Sequence[Path], test: Path | None, settings: GatherSettings, out: Path
) -> dict[str, Any]:
    """Write the directory ``out``; returns the content of its ``gather.json``.

    ``parallel/`` is for word vectors, ``text/`` for the tokenizer, ``documents/`` for pre-training; with ``cap``, at
    most so many lines of a language are in ``text/`` and as many documents in ``documents/``, drawn with the seed.

    Raises:
        DataMissingError: a file is missing, or nothing is left. InputError: bad files, a training file that is also a
            test set, an unknown task, or ``out`` holds something else.
    """
    from hyperofa.corpus.reading import documents as read_documents

    if not (parallel or text):
        raise InputError("nothing to gather", where="command line", todo="give --parallel, --text or both")
    check_output(out, MARKER)
    aligned, files = read_inputs(parallel, text)
    languages = sorted({ENGLISH, *aligned.translations, *files})
    tested: dict[str, set[str]] = {}
    if test is not None:
        corpora = list(dict.fromkeys([*SCREENED, *corpora_of(find_tasks(settings.tasks, settings.extensions))]))
        sets = [file for both in tested_files(test, corpora, languages).values() for file in both]
        refuse_tested([*parallel_files(parallel), *(file for paths in files.values() for file in paths)], sets)
        tested = keys_of_tests(test, languages, corpora)
    plain = {language: (line for file in own for line in read_documents(str(file))) for language, own in files.items()}
    gathered = gather(aligned, plain, tested)
    lines = {ENGLISH: gathered.parallel.english, **gathered.parallel.translations}

    def with_plain(own: Mapping[str, list[str]]) -> dict[str, list[str]]:
        merged = {
            language: [*filter(None, own.get(language, [])), *gathered.text.get(language, [])] for language in languages
        }
        return {language: _capped(texts, settings) for language, texts in merged.items()}

    texts = with_plain(lines)
    if not any(texts.values()):
        raise DataMissingError("no line of text is left", where="--parallel, --text")
    inputs = {**named_inputs("parallel", parallel), **named_inputs("text", text)}
    named = [file.name for file in settings.extensions]
    record = {
        **made_by("hyperofa data gather", inputs, recorded(settings) | {"extensions": named}),
        "train": {language: len(own) for language, own in texts.items() if language != ENGLISH and own},
        "english": len(texts[ENGLISH]),
        "rows": len(gathered.parallel.english),
        "left_out": {language: count for language, count in gathered.left_out.items() if count},
        "dropped": gathered.dropped,
    }
    with new_directory(out, MARKER) as folder:
        gathered.parallel.write(folder / "parallel")
        for name, content in (("text", texts), ("documents", with_plain(documents(gathered.parallel, settings)))):
            for language, own in content.items():
                if own:
                    write_lines(folder / name / f"{language}.txt", own)
        write_json(folder / MARKER, record)
    return record


def _capped(lines: list[str], settings: GatherSettings) -> list[str]:
    """At most ``cap`` of the lines, drawn with the seed, in their order."""
    if settings.cap is None or len(lines) <= settings.cap:
        return lines
    chosen = random.Random(settings.seed).sample(range(len(lines)), settings.cap)
    return [lines[index] for index in sorted(chosen)]
