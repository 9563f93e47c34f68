"""From text files per language to a corpus directory: read, cap, tokenise, pack, write, count."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from hyperofa.base.files import check_output, new_directory, sha256_tree, versions
from hyperofa.corpus.masking import TokenTable
from hyperofa.corpus.meta import FORMAT, MARKER, TOKENS, Language, Targets, fingerprint_of
from hyperofa.corpus.order import check_sampling
from hyperofa.corpus.packed import PackedCorpus, write_sequences
from hyperofa.corpus.packing import pack
from hyperofa.corpus.reading import check_source, documents
from hyperofa.corpus.settings import CorpusSettings
from hyperofa.corpus.tokenizing import Document, DocumentTokenizer, token_table, tokenizing
from hyperofa.errors import InputError
from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.base.files import sha256_file, write_json
from hyperofa_eval.settings.config import recorded

log = logging.getLogger(__name__)


def prepare(
    tokenizer: str | Path, texts: Mapping[str, Sequence[str]], out: Path, settings: CorpusSettings
) -> PackedCorpus:
    """Write the corpus directory ``out`` and open it.

    Args:
        tokenizer: directory of a fast tokenizer, or a hub id.
        texts: files (see :func:`hyperofa.corpus.reading.documents`) per language.
        out: must be new, empty, or an earlier corpus.
        settings: length, caps, sampling, processes.

    Raises:
        InputError: a file has a bad line, a language has no document, or a named language is not among the texts.
        DataMissingError: a file or the tokenizer is not there.
    """
    check_output(out, MARKER)
    check_texts(list(texts), settings)
    sampling = sampling_of(list(texts), settings)
    for source in (source for sources in texts.values() for source in sources):
        check_source(source)
    framed = DocumentTokenizer(tokenizer, end=settings.document_end)
    table = token_table(framed.tokenizer)
    with (
        new_directory(out, MARKER) as folder,
        tokenizing(
            tokenizer, settings.processes, read_special=settings.read_special_tokens, end=settings.document_end
        ) as tokenize,
    ):
        (folder / "data").mkdir()
        languages = []
        for index, (name, sources) in enumerate(texts.items()):
            counter = _Counter(framed.tokenizer.unk_token_id, framed.end)
            ids = counter.tokens_of(tokenize(counter.texts_of(name, sources, settings)))
            file = f"data/{name}.arrow"
            sequences = pack(ids, settings.length, framed.pad_id, keep_whole=settings.keep_whole)
            written = write_sequences(folder / file, sequences, settings.length, index)
            if not written:
                raise InputError("no document in the text", where=f"{name}: {', '.join(sources)}")
            counter.log_special(name, as_tokens=settings.read_special_tokens)
            counts = {key: getattr(counter, key) for key in _COUNTED}
            digest = sha256_file(folder / file)
            languages.append(asdict(Language(name=name, file=file, sequences=written, sha256=digest, **counts)))
        size = write_tokens(table, folder / TOKENS)
        meta = describe(
            framed, Path(tokenizer), settings, languages, sampling, folder / TOKENS, size, settings.length, None
        )
        write_json(folder / MARKER, meta)
    return PackedCorpus.open(out)


def check_texts(names: Sequence[str], settings: CorpusSettings) -> None:
    """Refuse settings of other languages than those of the texts.

    Raises:
        InputError: a cap, weight or replayed share is of another language, or a language has both of the latter.
    """
    for name in [*settings.caps, *settings.weight, *settings.replay]:
        if name and name not in names:
            what = f"a cap, weight or replay names {name!r}, which has no text"
            raise InputError(what, todo=f"texts: {', '.join(names)}")
    if both := sorted({*settings.weight} & {*settings.replay}):
        what = f"{', '.join(both)} has a weight, but replay says its share"
        raise InputError(what, where="sampling", todo="leave the weight out")


def sampling_of(names: Sequence[str], settings: CorpusSettings) -> dict[str, Any]:
    """How the languages are sampled, as ``corpus.json`` says it.

    Raises:
        InputError: there is no way to share out the draws.
    """
    weights = [float(settings.weight.get(name, 1.0)) for name in names]
    replay = [float(settings.replay.get(name, 0.0)) for name in names]
    try:
        check_sampling(weights, settings.temperature, replay)
    except ValueError as error:
        todo = "change the weights, the temperature or the replayed shares"
        raise InputError(str(error), where="sampling", todo=todo) from None
    sampling = {"weights": weights, "temperature": settings.temperature}
    if any(replay):  # without it, the fingerprint is what it always was
        sampling["replay"] = replay
    return sampling


def write_tokens(table: TokenTable, path: Path) -> int:
    """Write what masking must know of a tokenizer; returns the number of its ids."""
    save_file({"special": table.special.astype(np.uint8), "continuation": table.continuation.astype(np.uint8)}, path)
    return len(table.special)


_COUNTED = ("documents", "tokens", "unknown", "characters", "skipped", "typed_special")


class _Counter:
    """Counts what passes through the two generators of one language."""

    def __init__(self, unknown_id: int | None, end: Sequence[int]) -> None:
        self.unknown_id, self.ends = unknown_id, sum(one == unknown_id for one in end)  # which may be one token
        self.documents = self.tokens = self.unknown = self.characters = self.skipped = 0
        self.typed_special = self.with_special = 0
        self.example = ""

    def texts_of(self, name: str, sources: Sequence[str], settings: CorpusSettings) -> Iterator[str]:
        cap = settings.caps.get(name, settings.caps.get(""))
        with progress_bar(name, cap) as advance:
            for source in sources:
                for text in documents(source, settings.field, paragraphs=settings.document == "paragraph"):
                    if cap is not None and self.documents >= cap:
                        return
                    if not text:
                        self.skipped += 1
                        continue
                    self.documents += 1
                    self.characters += len(text)
                    advance()
                    yield text

    def tokens_of(self, documents: Iterator[Document]) -> Iterator[NDArray[np.int32]]:
        for ids, typed, example in documents:
            self.tokens += len(ids)
            if self.unknown_id is not None:
                self.unknown += int((ids == self.unknown_id).sum()) - self.ends
            if typed:
                self.typed_special += typed
                self.with_special += 1
                self.example = self.example or example
            yield ids

    def log_special(self, name: str, *, as_tokens: bool) -> None:
        """Say in one line what looks like special tokens in the text."""
        if self.typed_special:
            such = f", such as {self.example!r}," if self.example else ""
            todo = "are read as tokens" if as_tokens else "are text (--read-special-tokens: read as tokens)"
            what = f"{self.typed_special:,} special tokens typed in {self.with_special:,} documents{such} {todo}"
            log.warning("%s: %s", name, what)


def describe(
    framed: DocumentTokenizer,
    directory: Path,
    settings: CorpusSettings,
    languages: list[dict[str, Any]],
    sampling: dict[str, Any],
    table: Path,
    size: int,
    length: int,
    targets: Targets | None,
) -> dict[str, Any]:
    """What ``corpus.json`` holds."""
    tokenizer = framed.tokenizer
    if directory.exists():
        sha256 = sha256_tree(directory)
    else:  # from the hub, where a revision may change under its name
        sha256 = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
    meta = {
        "format": FORMAT,
        "length": length,
        "fingerprint": "",
        "tokenizer": {
            "name": directory.name,
            "sha256": sha256,
            "size": size,
            "pad_id": framed.pad_id,
            "mask_id": tokenizer.mask_token_id,
            "table_sha256": sha256_file(table),
        },
        "sampling": sampling,
        "languages": languages,
        "made_by": {
            "command": "hyperofa corpus prepare",
            "settings": recorded(settings, ["processes"]),
            "versions": versions(),
        },
        **({"targets": asdict(targets)} if targets else {}),
    }
    return {**meta, "fingerprint": fingerprint_of(meta)}
