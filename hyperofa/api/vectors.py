"""Word vectors from Python: built, imported or loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa.base.files import check_output, made_by, named_inputs, temporary_directory
from hyperofa.base.textfiles import Paths, path_of, paths_of
from hyperofa.vectors.settings import BuildSettings, ImportSettings
from hyperofa_eval.settings.config import build_config, recorded
from hyperofa_eval.settings.keywords import takes

if TYPE_CHECKING:
    from hyperofa.vectors.store import WordVectors


@takes(BuildSettings)
def build_vectors(parallel: Paths, *, out: str | Path | None = None, **settings: Any) -> WordVectors:
    """Word vectors (n, d) for all words of parallel text, from positive PMI and a truncated SVD.

    Words of different languages are neighbours where they stand in translations of the same sentences. One text and one
    seed give one result.

    Args:
        parallel: folders (or single files) of ``LANG.txt``, line-aligned, or ``LANG.tsv``, id, tab, text.
        out: the folder to write; without one, the vectors are kept in a temporary folder for as long as they are used.
        **settings: listed below.

    Raises:
        DataMissingError: a path is not there, or holds no parallel text.
        InputError: a setting is out of range, a file is faulty, or the text has too few sentences.
    """
    from hyperofa.data.parallel import parallel_files, read_parallel
    from hyperofa.vectors.build import embed_words, languages_of
    from hyperofa.vectors.store import MARKER, WordVectors, write_store

    config = build_config(BuildSettings, settings, "build_vectors")
    target, keep = temporary_directory("vectors") if out is None else (path_of(out, "out"), None)
    check_output(target, MARKER)
    paths = paths_of(parallel, "parallel")
    text = read_parallel(paths, config.languages)
    words, vectors, counts = embed_words(text, config)
    files = parallel_files(paths, config.languages)
    by_folder: dict[str, list[Path]] = {}
    for path in files:
        by_folder.setdefault(path.parent.name, []).append(path)
    inputs = {key: path for folder, own in by_folder.items() for key, path in named_inputs(folder, own).items()}
    meta = {
        "sentences": text.n_sentences,
        "languages": languages_of(words),
        "text": {
            language: {"sentences": len(rows), "translated": text.translated(language)}
            for language, rows in text.texts.items()
        },
        "made_by": made_by("vectors build", inputs, recorded(config)),
    }
    write_store(target, words, vectors, meta, dtype=config.dtype, counts=counts)
    return WordVectors.open(target, keep=keep)


@takes(ImportSettings)
def import_vectors(file: str | Path, *, out: str | Path | None = None, **settings: Any) -> WordVectors:
    """Word vectors out of a gensim, word2vec, fastText or plain text file; the file need not fit into memory.

    What was left out stands in ``.meta["left_out"]``.

    Args:
        file: ``.wv``, ``.vec``, ``.bin`` or ``.txt``; text also as ``.gz`` or ``.xz``.
        out: the folder to write; without one, the vectors are kept in a temporary folder for as long as they are used.
        **settings: listed below.

    Raises:
        DataMissingError: a file is not there.
        InputError: a bad row, a damaged file, a pickle that asks for more than vectors, or no word left.
    """
    from hyperofa.vectors.importing import import_file
    from hyperofa.vectors.store import WordVectors

    config = build_config(ImportSettings, settings, "import_vectors")
    target, keep = temporary_directory("vectors") if out is None else (path_of(out, "out"), None)
    import_file(path_of(file, "file"), target, config)
    return WordVectors.open(target, keep=keep)


def load_vectors(folder: str | Path) -> WordVectors:
    """Open word vectors that were built or imported before; they are read from disk when they are used.

    Raises:
        DataMissingError: the folder or one of its files is not there.
        InputError: a file is damaged.
    """
    from hyperofa.vectors.store import WordVectors

    return WordVectors.open(path_of(folder, "folder"))
