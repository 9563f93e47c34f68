"""WECHSEL: softmax combination of the nearest source tokens, subword vectors weighted by word frequency."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, diags_array

from hyperofa.init.method import Method
from hyperofa.init.methods.ofa import NearestSettings, combine_nearest
from hyperofa.init.problem import Problem, subword_vectors
from hyperofa_eval.settings.fields import SettingError, setting

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WechselSettings(NearestSettings):
    """Settings of ``wechsel``; the defaults are what its package does (docs/differences.md)."""

    copies: bool = setting(
        False, "copy the rows of tokens that the source has too; else they are predicted like new ones"
    )
    source_language: str = setting(
        "auto",
        "whose words tell what the source's tokens mean; auto: the language of which it holds most words whole, all: every one",
        metavar="LANG",
    )


def wechsel(problem: Problem) -> np.ndarray:
    """Rows as in WECHSEL (arXiv 2112.06598, §3.2): the softmax-weighted mean of the nearest source tokens.

    A token's vector is the mean over the words that hold it, weighted by how often each is seen; source tokens take words of the
    source's language only. Where the vectors do not say how often a word is seen, all count alike.

    Raises:
        SettingError: no source token has a word of the named language.
    """
    source, target = problem.spellings
    counts = np.ones(len(problem.vectors)) if problem.word_counts is None else problem.word_counts
    language = source_language(problem)
    of_source = np.ones(len(counts), bool) if language is None else problem.word_languages == language
    keys: csr_matrix = (source @ diags_array((counts * of_source).astype(np.float32))).tocsr()
    keys.eliminate_zeros()
    anchors = np.flatnonzero(np.diff(keys.indptr) > 0)
    code = "all" if language is None else problem.language_codes[language]
    if not len(anchors):
        raise SettingError(
            "source_language", f"no token of the source is met in a word of {code!r}", todo="name another"
        )
    problem.notes.update(source_language=code, word_counts=problem.word_counts is not None)
    log.info("wechsel: %d source tokens have words of %s", len(anchors), code or "no named language")
    weighted = (target @ diags_array(counts.astype(np.float32))).tocsr()
    return combine_nearest(
        subword_vectors(weighted, problem.predict_ids, problem.vectors, power=1),
        subword_vectors(keys, anchors, problem.vectors, power=1),
        problem.rows.take(anchors),
        neighbours=problem.settings.neighbours,
        temperature=problem.settings.temperature,
    )


def source_language(problem: Problem) -> int | None:
    """The number of the source's language, as the setting says; None for all of them.

    Raises:
        SettingError: the vectors have no word of the named language.
    """
    language = problem.settings.source_language
    if language == "all":
        return None
    if language == "auto":
        return int(problem.word_languages[int(np.argmax(problem.known_words))])
    if language not in problem.language_codes:
        todo = f"name one of {', '.join(problem.language_codes)}, or auto"
        raise SettingError("source_language", f"no word vector of {language!r}", todo=todo)
    return problem.language_codes.index(language)


WECHSEL = Method(
    "wechsel",
    "nearest source tokens, by words weighted by frequency, as its package does",
    wechsel,
    WechselSettings,
    "WECHSEL (arXiv 2112.06598), §3.2",
    spellings=2,
    rest="drawn",
)
