"""Tokenizers from Python: trained on text of many languages, extended for new ones, or trimmed to those of a text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hyperofa.base.files import check_output
from hyperofa.base.textfiles import Texts, language_files, path_of
from hyperofa.vocab.settings import ExtendSettings, TrainSettings, TrimSettings
from hyperofa_eval.settings.config import build_config, recorded
from hyperofa_eval.settings.fields import SettingError
from hyperofa_eval.settings.keywords import takes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from hyperofa.vocab.learning.sampling import LanguageText


@takes(TrainSettings)
def train_tokenizer(
    text: Texts, *, vocab_size: int, out: str | Path | None = None, **settings: Any
) -> PreTrainedTokenizerFast:
    """A new tokenizer for many languages: SentencePiece-style unigram, laid out as XLM-R's.

    The same text and settings give the same tokenizer. Its attribute ``hyperofa_report`` is a dictionary: its fertility
    and what was read, by language. With ``out`` it is saved there, with the report in ``training.json``.

    Args:
        text: plain text, a sentence or paragraph a line, ``.gz`` and ``.xz`` too: a mapping from a language to a file or
            several, or files named ``LANG.txt``.
        vocab_size: entries in all, special tokens included; fewer, with a warning, where the text holds no more.
        out: the directory to write.
        **settings: listed below.

    Raises:
        DataMissingError: a file is not there.
        InputError: a setting is out of range, a language has no text, or ``out`` holds something else.
    """
    from hyperofa.vocab.learning.sampling import survey
    from hyperofa.vocab.learning.train import learn_tokenizer

    config = build_config(TrainSettings, {"vocab_size": vocab_size, **settings}, "train_tokenizer")
    target = _target(out)
    files = language_files(text)
    texts = survey(files, config)
    tokenizer = learn_tokenizer(texts, config)
    return _finished(target, tokenizer, "tokenizer train", files, recorded(config), texts, {"new": tokenizer})


@takes(ExtendSettings)
def extend_tokenizer(
    source: Any,
    text: Texts,
    *,
    vocab_size: int | Literal["auto"],
    source_text: Texts | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> PreTrainedTokenizerFast:
    """A model's tokenizer with more entries for new languages; every entry of the source keeps its id.

    The result's attribute ``hyperofa_report`` is a dictionary: fertility before and after, and what was read, by language;
    and ``saved``, the share of tokens saved by fewer new entries and by all. With ``out`` it is saved there, with the report in
    ``training.json``.

    Args:
        source: a directory, a hub id, or a loaded fast tokenizer, which is not changed.
        text: plain text of the new languages, a sentence or paragraph a line, ``.gz`` and ``.xz`` too: a mapping from a
            language to a file or several, or files named ``LANG.txt``.
        vocab_size: entries in all at most, those of the source included; fewer, with a warning, where the text uses no more
            ``min_count`` times. ``auto`` takes the bend of the curve of tokens saved.
        source_text: text of the source's own languages, given like ``text``: measured before and after, not learnt from.
        out: the directory to write.
        **settings: listed below.

    Raises:
        DataMissingError: a file or the source is not there.
        InputError: a setting is out of range, ``vocab_size`` is not above the source's, a language has no text, the
            tokenizer's family is unknown, or ``out`` holds something else.
    """
    from hyperofa.vocab.learning.extend import grow_tokenizer
    from hyperofa.vocab.learning.keeping import kept_lines
    from hyperofa.vocab.learning.sampling import survey
    from hyperofa.vocab.report import load_tokenizer, name_of, source_changes, source_lines

    config = build_config(ExtendSettings, {"vocab_size": vocab_size, **settings}, "extend_tokenizer")
    if config.keep_source_text and not source_text:
        raise SettingError("keep_source_text", "no text to keep", todo="name it as the source's text")
    target = _target(out)
    files, source_files = language_files(text), language_files(source_text or {}, "source_text")
    own_lines = source_lines(source_files, config.seed)
    loaded = load_tokenizer(source)
    texts = survey(files, config)
    kept = kept_lines(source_files, own_lines) if config.keep_source_text else []
    grown = grow_tokenizer(loaded, texts, config, kept)
    tokenizer = grown.tokenizer
    changes = source_changes(loaded, tokenizer, own_lines)
    more = {"saved": grown.record(), **({"source_text": changes} if changes else {})}
    files |= {f"source-text/{language}": paths for language, paths in source_files.items()}
    values = {"source": Path(name_of(source)).name, **recorded(config)}
    measured = {"before": loaded, "after": tokenizer}
    return _finished(target, tokenizer, "tokenizer extend", files, values, texts, measured, more)


@takes(TrimSettings)
def trim_tokenizer(
    source: Any, text: Texts, *, out: str | Path | None = None, **settings: Any
) -> PreTrainedTokenizerFast:
    """The smaller tokenizer that holds only the entries of a model's that a text uses; ids are numbered anew.

    All lines of the text are cut as before. Added tokens stay, and so do bytes and the characters of the text's scripts.
    :func:`initialise` copies a row for each entry. The result's attribute ``hyperofa_report`` is a dictionary: entries before
    and after, and fertility. With ``out`` it is saved there, with the report in ``training.json``.

    Args:
        source: a directory, a hub id, or a loaded fast tokenizer, which is not changed.
        text: plain text, a sentence or paragraph a line, ``.gz`` and ``.xz`` too: a mapping from a language to a file or
            several, or files named ``LANG.txt``. All of it is read.
        out: the directory to write.
        **settings: listed below.

    Raises:
        DataMissingError: a file or the source is not there.
        InputError: a setting is out of range, a language has no text, the tokenizer's family is unknown, or ``out`` holds
            something else.
    """
    from hyperofa.vocab.report import fertility, load_tokenizer, name_of, save_tokenizer, source_lines
    from hyperofa.vocab.trim import trim_vocabulary

    config = build_config(TrimSettings, settings, "trim_tokenizer")
    target = _target(out)
    files = language_files(text)
    loaded = load_tokenizer(source)
    trimmed = trim_vocabulary(loaded, files, config.min_count)
    made: PreTrainedTokenizerFast = trimmed.tokenizer
    lines = source_lines(files, 0)
    record = {
        "entries": len(made),
        "source_entries": len(loaded),
        "used": trimmed.used,
        "fertility": {
            name: {language: fertility(one, lines[language]) for language in lines}
            for name, one in {"before": loaded, "after": made}.items()
        },
        "text": {language: {"lines": trimmed.lines[language]} for language in lines},
    }
    values = {"source": Path(name_of(source)).name, **recorded(config)}
    if target is not None:
        save_tokenizer(target, made, "tokenizer trim", files, values, record)
    made.hyperofa_report = record
    return made


def _target(out: str | Path | None) -> Path | None:
    from hyperofa.vocab.report import MARKER

    if out is None:
        return None
    check_output(path_of(out, "out"), MARKER)
    return Path(out)


def _finished(
    out: Path | None,
    tokenizer: Any,
    command: str,
    files: Mapping[str, list[Path]],
    settings: Mapping[str, Any],
    texts: Mapping[str, LanguageText],
    measured: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
) -> PreTrainedTokenizerFast:
    """The tokenizer with its report, saved where it shall be; fertility is that of the ``measured`` tokenizers, by name.
    ``more`` is put into the report.
    """
    from hyperofa.vocab.learning.sampling import log_counts
    from hyperofa.vocab.report import fertility, save_tokenizer

    record = {
        "entries": len(tokenizer),
        "fertility": {
            name: {language: fertility(one, text.measured) for language, text in texts.items()}
            for name, one in measured.items()
        },
        "text": {language: text.record for language, text in texts.items()},
        **(more or {}),
    }
    if out is not None:
        save_tokenizer(out, tokenizer, command, files, settings, record)
    log_counts(texts.values())
    made: PreTrainedTokenizerFast = tokenizer
    made.hyperofa_report = record
    return made
