"""From text and parallel text to a corpus of sentences, each with the vector of a source model that it learns."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from hyperofa.base.files import check_output, new_directory
from hyperofa.corpus.meta import MARKER, TARGETS, TOKENS, Language, Targets
from hyperofa.corpus.packed import PackedCorpus, write_sequences
from hyperofa.corpus.packing import chunks
from hyperofa.corpus.prepare import check_texts, describe, sampling_of, write_tokens
from hyperofa.corpus.reading import check_source, documents
from hyperofa.corpus.sentence.batches import padded_length
from hyperofa.corpus.sentence.known import check_pivot, known_languages
from hyperofa.corpus.sentence.source import SourceVectors
from hyperofa.corpus.settings import CorpusSettings
from hyperofa.corpus.tokenizing import DOCUMENTS_PER_TASK, DocumentTokenizer, token_table
from hyperofa.errors import InputError
from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.base.files import sha256_file, write_json
from hyperofa_eval.text.plain_text import PlainText

log = logging.getLogger(__name__)

Parallel = Mapping[str, Mapping[int, str]]
"""Texts by language and by the number of their sentence."""
_LARGEST = float(np.finfo(np.float16).max)


@dataclass
class Sentences:
    """The sentences of one language, and for each the text whose vector under the source's tokenizer it learns."""

    texts: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    skipped: int = 0

    @property
    def own(self) -> int:
        """How many learn their own vector."""
        return sum(text == target for text, target in zip(self.texts, self.targets, strict=True))

    def add(self, text: str, target: str) -> None:
        """One more; its target may be itself."""
        self.texts.append(text)
        self.targets.append(target)

    def draw(self, count: int, seed: int) -> None:
        """Keep ``count`` of them, drawn at random without replacement; their order stays."""
        kept = np.sort(np.random.default_rng(seed).permutation(len(self.texts))[:count])
        self.texts = [self.texts[place] for place in kept]
        self.targets = [self.targets[place] for place in kept]


def prepare_sentences(
    tokenizer: str | Path,
    texts: Mapping[str, Sequence[str]],
    parallel: Parallel,
    source: SourceVectors,
    out: Path,
    settings: CorpusSettings,
) -> PackedCorpus:
    """Write the corpus directory ``out`` and open it; texts and vectors are held in memory meanwhile.

    A translation's target is the source's vector of its side in the pivot's language (multilingual distillation,
    arXiv 2004.09813), and that of a sentence in the pivot's language is its own. In languages that the source knows, a
    sentence's own vector is a target too. Targets are stored in float16: rounding moves a vector by some 3e-4 of its length, a
    hundredth of what training leaves between the two, at half the room of float32.

    Args:
        tokenizer: directory of the fast tokenizer of the model to train, or a hub id.
        texts: files (see :func:`hyperofa.corpus.reading.documents`) per language, a sentence a line.
        parallel: sentences and their translations.
        source: gives the vectors.
        out: must be new, empty, or an earlier corpus.
        settings: length, caps, sampling, pivot, whether own vectors are targets.

    Raises:
        InputError: nothing is a translation of the pivot's language and no text is known to the source, a file has a bad line,
            or a vector is not finite.
        DataMissingError: a file or the tokenizer is not there.
    """
    check_output(out, MARKER)
    for file in (file for files in texts.values() for file in files):
        check_source(file)
    if any(parallel.values()):
        check_pivot(parallel, settings.pivot)
    names = sorted({*parallel, *texts})
    check_texts(names, settings)
    sampling_of(names, settings)
    framed = DocumentTokenizer(tokenizer)
    taken = len(PlainText(framed.tokenizer)([source.prompt], verbose=False)["input_ids"][0])
    if source.prompt and taken >= settings.length:
        what = f"the prompt alone takes {taken} or more of {settings.length} tokens"
        raise InputError(what, where="corpus prepare", todo="give a larger --length or a shorter --prompt")
    sentences, known = _sentences(names, texts, parallel, source, settings)
    if settings.sentences is not None:
        _draw(sentences, settings.sentences, settings.replay)
    if missing := [name for name in settings.replay if name not in sentences]:
        what = f"replay names {', '.join(missing)}, of which no sentence has a target"
        raise InputError(what, where="sampling", todo="leave it out, or give --parallel with it")
    sampling = sampling_of(list(sentences), settings)
    ids = {name: _ids(framed, source.prompt, name, one.texts, settings) for name, one in sentences.items()}
    vectors, mean, variance = _targets(sentences, source)
    longest = max(len(row) for rows, *_ in ids.values() for row in rows)
    length = padded_length(longest)
    with new_directory(out, MARKER) as folder:
        (folder / "data").mkdir()
        languages = []
        for index, (name, one) in enumerate(sentences.items()):
            rows, unknown, typed = ids[name]
            file = f"data/{name}.arrow"
            padded = (_padded(row, length, framed.pad_id) for row in rows)
            written = write_sequences(folder / file, padded, length, index, vectors[name])
            counts = {"documents": written, "sequences": written, "tokens": sum(map(len, rows)), "unknown": unknown}
            counts |= {"characters": sum(map(len, one.texts)), "skipped": one.skipped, "typed_special": typed}
            digest = sha256_file(folder / file)
            languages.append(asdict(Language(name=name, file=file, sha256=digest, own=one.own, **counts)))
        save_file({"mean": mean, "variance": np.array(variance)}, folder / TARGETS)
        targets = Targets(
            dim=len(mean),
            known=tuple(sorted(known)),
            sha256=sha256_file(folder / TARGETS),
            **source.record,  # type: ignore[arg-type]
        )
        size = write_tokens(token_table(framed.tokenizer), folder / TOKENS)
        meta = describe(framed, Path(tokenizer), settings, languages, sampling, folder / TOKENS, size, length, targets)
        write_json(folder / MARKER, meta)
    return PackedCorpus.open(out)


def _sentences(
    names: Sequence[str],
    texts: Mapping[str, Sequence[str]],
    parallel: Parallel,
    source: SourceVectors,
    settings: CorpusSettings,
) -> tuple[dict[str, Sentences], set[str]]:
    """The sentences by language, without languages that have none, and the languages whose own vectors are targets."""
    pivot, skipped = settings.pivot, dict.fromkeys(names, 0)
    pairs = {name: _first(parallel.get(name, {}), settings.caps.get(name, settings.caps.get(""))) for name in names}
    anchors = parallel.get(pivot, {})
    lines: dict[str, dict[str, None]] = {}
    for name in names:
        lines[name] = dict.fromkeys(pairs[name].values())
        cap, taken = settings.caps.get(name, settings.caps.get("")), 0
        for text in (text for file in texts.get(name, ()) for text in documents(file, settings.field)):
            if cap is not None and taken >= cap:
                break
            skipped[name] += not text
            if text:
                lines[name][text] = None
                taken += 1
    known = {pivot} & {*names}
    if settings.own_vectors:
        filled = {name: list(rows) for name, rows in lines.items() if rows}
        decisions = known_languages(
            filled, parallel, pivot, lambda part: torch.from_numpy(source(part)), source.unknown
        )
        known |= {name for name, (is_known, _) in decisions.items() if is_known}
        named = ", ".join(f"{name} ({why})" for name, (is_known, why) in decisions.items() if is_known)
        log.info("the source's own vectors of a sentence are targets in: %s", named or "no language but the pivot's")
    sentences: dict[str, Sentences] = {}
    for name in names:
        one = Sentences(skipped=skipped[name])
        for number, text in pairs[name].items() if name != pivot else ():
            if number in anchors:
                one.add(text, anchors[number])
        for text in lines[name] if name in known else ():
            one.add(text, text)
        if one.texts:
            sentences[name] = one
        else:
            log.warning("%s: no sentence of it has a target: it has no pairs, and the source does not know it", name)
    if not sentences:
        todo = "give --parallel with a language that the source knows, or text in such a one"
        raise InputError("no sentence has a target vector", where="corpus prepare", todo=todo)
    return sentences, known & sentences.keys()


def _draw(sentences: Mapping[str, Sentences], count: int, replay: Mapping[str, float]) -> None:
    """Keep ``count`` of all sentences, and of every language at least one.

    A replayed language keeps its share of ``count``. All others keep the same share of what they have, so that weights and
    temperature mean what they meant.
    """
    sizes = {name: len(one.texts) for name, one in sentences.items()}
    kept = {name: min(sizes[name], round(replay[name] * count)) for name in sizes if name in replay}
    others = [name for name in sizes if name not in replay]
    left, total = count - sum(kept.values()), sum(sizes[name] for name in others)
    exact = {name: min(left, total) * sizes[name] / total for name in others}
    kept |= {name: math.floor(value) for name, value in exact.items()}
    short = min(left, total) - sum(kept[name] for name in others)
    for name in sorted(others, key=lambda name: kept[name] - exact[name])[:short]:  # the largest remainders
        kept[name] += 1
    for name, one in sentences.items():
        one.draw(max(1, kept[name]), zlib.crc32(name.encode()))


def _first(rows: Mapping[int, str], cap: int | None) -> dict[int, str]:
    return dict(sorted(rows.items())[:cap])


def _ids(
    framed: DocumentTokenizer, prompt: str, name: str, texts: Sequence[str], settings: CorpusSettings
) -> tuple[list[NDArray[np.int32]], int, int]:
    """Token ids of every sentence behind the prompt, how many are unknown, and how many special tokens were typed."""
    text, unk = PlainText(framed.tokenizer), framed.tokenizer.unk_token_id
    options = {"truncation": True, "max_length": settings.length, "verbose": False}
    options |= {"return_attention_mask": False, "return_token_type_ids": False}
    rows: list[NDArray[np.int32]] = []
    typed = 0
    with progress_bar(name, len(texts)) as advance:
        for part in chunks(texts, DOCUMENTS_PER_TASK):
            prompted = [prompt + sentence for sentence in part]
            encoded, counts = text.with_counts(prompted, as_tokens=settings.read_special_tokens, **options)
            rows += [np.array(row, dtype=np.int32) for row in encoded["input_ids"]]
            typed += sum(counts)
            advance(len(part))
    if cut := sum(len(row) == settings.length for row in rows):
        what = "%s: %s of %s sentences have %d tokens or more and are cut there; their targets are those of the whole"
        log.warning(what, name, f"{cut:,}", f"{len(rows):,}", settings.length)
    unknown = sum(int((row == unk).sum()) for row in rows) if unk is not None else 0
    return rows, unknown, typed


def _targets(
    sentences: Mapping[str, Sentences], source: SourceVectors
) -> tuple[dict[str, NDArray[np.float16]], NDArray[np.float32], float]:
    """Target vectors (n, D) by language; over all different ones, their mean and mean squared distance from it."""
    texts = list(dict.fromkeys(text for one in sentences.values() for text in one.targets))
    places = {text: i for i, text in enumerate(texts)}
    exact = source(texts)
    if not np.abs(exact).max() < _LARGEST:
        raise InputError("a vector of the source is too large for float16", where="corpus prepare")
    vectors = exact.astype(np.float16)
    mean = vectors.mean(axis=0, dtype=np.float64)
    variance = float(np.square(vectors - mean).sum(axis=1).mean())
    if not variance > 0:
        raise InputError("all target vectors are the same", where="corpus prepare", todo="give more sentences")
    by_language = {name: vectors[[places[text] for text in one.targets]] for name, one in sentences.items()}
    return by_language, mean.astype(np.float32), variance


def _padded(row: NDArray[np.int32], length: int, pad_id: int) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    ids, segments = np.full(length, pad_id, dtype=np.int32), np.full(length, -1, dtype=np.int16)
    ids[: len(row)], segments[: len(row)] = row, 0
    return ids, segments
