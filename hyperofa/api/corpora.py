"""Corpora from Python: text that is tokenised and packed for pre-training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa.base.files import temporary_directory
from hyperofa.base.textfiles import Paths, Texts, language_words, path_of, paths_of
from hyperofa.corpus.settings import CorpusSettings
from hyperofa_eval.settings.config import build_config
from hyperofa_eval.settings.fields import SettingError
from hyperofa_eval.settings.keywords import takes

if TYPE_CHECKING:
    from hyperofa.corpus.packed import PackedCorpus

_OF_SENTENCES = ("prompt", "pivot", "own_vectors", "sentences", "source_dtype")
_OF_DOCUMENTS = ("keep_whole", "document", "document_end")
"""Settings of one of the two kinds of corpus alone."""


@takes(CorpusSettings)
def prepare_corpus(
    tokenizer: Any,
    text: Texts = (),
    *,
    out: str | Path,
    source: str | Path | None = None,
    parallel: Paths = (),
    cache: str | Path | None = None,
    **settings: Any,
) -> PackedCorpus:
    """A corpus directory: text tokenised and packed into sequences, by language; or sentences with vectors to learn.

    It does not depend on ``processes``; a script that asks for several runs below ``if __name__ == "__main__":``.

    Args:
        tokenizer: a directory, a hub id, or a loaded fast tokenizer.
        text: documents, one a line or row: a mapping from a language to a file or several, or files named ``LANG.txt``.
            They are plain text, ``.jsonl``, ``.parquet`` or ``.arrow``, the first two also as ``.gz`` or ``.xz``; or
            ``hub:NAME[:REVISION][@CONFIG][#SPLIT]``, a data set that is fetched.
        out: the directory to write.
        source: a sentence encoder, a directory or hub id: sentences learn its vectors of themselves or of their translations.
        parallel: with ``source``, folders of parallel text.
        cache: with ``source``, a folder that keeps its vectors.
        **settings: listed below.

    Raises:
        DataMissingError: a file, a data set or the tokenizer is not there.
        InputError: a setting is out of range, a file has a bad line, a language has no document, or ``out`` holds
            something else.
    """
    from hyperofa.corpus.prepare import prepare
    from hyperofa.vocab.report import load_tokenizer, name_of

    config = build_config(CorpusSettings, settings, "prepare_corpus")
    texts = language_words(text, "text", is_name=lambda name: name.replace("_", "").replace("-", "").isalnum())
    target = path_of(out, "out")
    folders = paths_of(parallel, "parallel")
    kept = None if cache is None else path_of(cache, "cache")
    if not texts and not folders:
        raise SettingError("text", "names no file")

    model = None if source is None else str(path_of(source, "source"))

    def made(tokenizer: str | Path) -> PackedCorpus:
        if model is None:
            return prepare(tokenizer, texts, target, config)
        return _of_sentences(tokenizer, texts, folders, model, kept, target, config)

    _refuse_of_other_kind(config, source, folders, cache)
    if isinstance(tokenizer, str | Path):
        return made(tokenizer)
    folder, keep = temporary_directory(Path(name_of(tokenizer)).name or "tokenizer")
    with keep:
        load_tokenizer(tokenizer).save_pretrained(str(folder))
        return made(folder)


def _refuse_of_other_kind(config: CorpusSettings, source: object, folders: Sequence[Path], cache: object) -> None:
    """Refuse, as :class:`SettingError`, what only packed documents have, or only sentences with vectors."""
    usual = CorpusSettings()
    names = [name for name in (_OF_SENTENCES if source is None else _OF_DOCUMENTS) if _given(config, usual, name)]
    if source is None:
        names += [name for name, value in (("parallel", folders), ("cache", cache)) if value]
        what = "is for sentences with vectors, and no source is given"
        todo = "name the sentence encoder whose vectors sentences learn, or leave it out"
    else:
        what, todo = "is for packed documents, and with a source every line is a sentence", "leave it out"
    if names:
        raise SettingError(names[0], what, todo=todo)


def _given(config: CorpusSettings, usual: CorpusSettings, name: str) -> bool:
    return getattr(config, name) != getattr(usual, name)


def _of_sentences(
    tokenizer: str | Path,
    texts: dict[str, list[str]],
    folders: list[Path],
    source: str,
    cache: Path | None,
    out: Path,
    config: CorpusSettings,
) -> PackedCorpus:
    from hyperofa.base.files import check_output
    from hyperofa.corpus.meta import MARKER
    from hyperofa.corpus.sentence.prepare import prepare_sentences
    from hyperofa.corpus.sentence.source import SourceVectors
    from hyperofa.data.parallel import read_parallel

    check_output(out, MARKER)
    parallel = read_parallel(folders).texts if folders else {}
    vectors = SourceVectors(source, prompt=config.prompt, cache=cache, dtype=config.source_dtype)
    return prepare_sentences(tokenizer, texts, parallel, vectors, out, config)
