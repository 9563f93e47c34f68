"""Corpora from Python: text that is tokenised and packed for pre-training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa.base.files import temporary_directory
from hyperofa.base.textfiles import Texts, language_words, path_of
from hyperofa.corpus.settings import CorpusSettings
from hyperofa_eval.settings.config import build_config
from hyperofa_eval.settings.fields import SettingError
from hyperofa_eval.settings.keywords import takes

if TYPE_CHECKING:
    from hyperofa.corpus.packed import PackedCorpus


@takes(CorpusSettings)
def prepare_corpus(tokenizer: Any, text: Texts, *, out: str | Path, **settings: Any) -> PackedCorpus:
    """A corpus directory: text tokenised and packed into sequences, by language.

    It does not depend on ``processes``; a script that asks for several runs below ``if __name__ == "__main__":``.

    Args:
        tokenizer: a directory, a hub id, or a loaded fast tokenizer.
        text: documents, one a line or row: a mapping from a language to a file or several, or files named ``LANG.txt``.
            They are plain text, ``.jsonl``, ``.parquet`` or ``.arrow``, the first two also as ``.gz`` or ``.xz``; or
            ``hub:NAME[:REVISION][@CONFIG][#SPLIT]``, a data set that is fetched.
        out: the directory to write.
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
    if not texts:
        raise SettingError("text", "names no file")
    if isinstance(tokenizer, str | Path):
        return prepare(tokenizer, texts, target, config)
    folder, keep = temporary_directory(Path(name_of(tokenizer)).name or "tokenizer")
    with keep:
        load_tokenizer(tokenizer).save_pretrained(str(folder))
        return prepare(folder, texts, target, config)
