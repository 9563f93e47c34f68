"""Turning documents into token ids, in this process or several; the result is the same for any number of them."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hyperofa.corpus.masking import TokenTable
from hyperofa.corpus.packing import chunks
from hyperofa.errors import HyperofaError, InputError
from hyperofa_eval.text.plain_text import PlainText

log = logging.getLogger(__name__)

DOCUMENTS_PER_TASK = 1000
TEXT_ENDS = ("<|endoftext|>", "<|end_of_text|>", "<eos>", "</s>")
"""What ends a text in the pre-training of decoders whose end-of-sequence token may end a turn of a chat."""


class Document(NamedTuple):
    """The token ids (n,) int32 of a text, and how many special tokens are typed in it, such as ``example``."""

    ids: NDArray[np.int32]
    typed: int
    example: str


class DocumentTokenizer:
    """A tokenizer that frames each document with its special tokens.

    The tokenizer's own template is used (``<s> … </s>``, ``[CLS] … [SEP]``); where it closes nothing, as with most decoders, the
    token that ends a text is appended (see :func:`text_end`). Special tokens that are typed in a text are text; with
    ``read_special`` they are the tokens.

    Attributes:
        end: the ids that are appended to a document; empty where the template closes it, or nothing shall.
    """

    def __init__(self, directory: str | Path, *, read_special: bool = False, end: str | None = None) -> None:
        """Load a fast tokenizer; ``end`` is the token that ends a document, or ``none``, in place of the tokenizer's own.

        Raises:
            DataMissingError: there is none.
            InputError: it is not a fast one, or has no token that ends a document or no such token.
        """
        from hyperofa.vocab.report import load_tokenizer

        self.tokenizer = load_tokenizer(str(directory))
        self._text, self._read_special = PlainText(self.tokenizer), read_special
        framed, bare = (self.tokenizer("a", add_special_tokens=frame)["input_ids"] for frame in (True, False))
        self.end: list[int] = []
        if framed[-1:] == bare[-1:] or framed[-1] not in self.tokenizer.all_special_ids:
            chosen = text_end(self.tokenizer, directory) if end is None else end
            self.end = [] if chosen == "none" else [_id_of(self.tokenizer, chosen)]
        elif end is not None:
            what = f"the tokenizer ends documents itself, with {self.tokenizer.convert_ids_to_tokens(framed[-1])}"
            raise InputError(what, where="--document-end", todo="leave it out")

    def __call__(self, texts: list[str]) -> list[Document]:
        """Token ids of each text."""
        options = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
        encoded, counts = self._text.with_counts(texts, as_tokens=self._read_special, **options)
        return [
            Document(np.array(ids + self.end, dtype=np.int32), count, self._text.example(text) if count else "")
            for text, ids, count in zip(texts, encoded["input_ids"], counts, strict=True)
        ]

    @property
    def pad_id(self) -> int:
        """The padding token, or for tokenizers without one the end of a document (padding is masked out anyway)."""
        pad = self.tokenizer.pad_token_id
        return self.tokenizer.eos_token_id if pad is None else pad


def text_end(tokenizer: Any, where: str | Path) -> str:
    """The token that ends a text: the end-of-sequence token, unless that ends a turn of a chat and another ends a text.

    A chat model that meets the end of its turn after every document learns to say nothing more.

    Raises:
        InputError: the tokenizer has no end-of-sequence token.
    """
    token = tokenizer.eos_token
    if token is None:
        raise InputError(
            "the tokenizer has no token that ends a document", where=where, todo="name one: --document-end"
        )
    templates = getattr(tokenizer, "chat_template", None) or ""
    ends_a_turn = token in (templates if isinstance(templates, str) else "".join(map(str, templates.values())))
    if not ends_a_turn:
        return str(token)
    added = {str(one) for one in tokenizer.backend_tokenizer.get_added_tokens_decoder().values() if one.special}
    text_ends = [name for name in TEXT_ENDS if name in added and name != token]
    if not text_ends:
        what = "%s: documents end with %s, which ends a turn of its chat too (--document-end none: no end)"
        log.warning(what, where, token)
    return text_ends[0] if text_ends else str(token)


def _id_of(tokenizer: Any, token: str) -> int:
    """The id of a token that the user names; raises :class:`InputError` where there is none."""
    token_id = tokenizer.get_vocab().get(token)
    if token_id is None:
        raise InputError(
            f"the tokenizer has no token {token!r}", where="--document-end", todo="name one of its own, or none"
        )
    return int(token_id)


def token_table(tokenizer: Any) -> TokenTable:
    """Which tokens are special and which continue a word, for WordPiece, SentencePiece and byte-level vocabularies."""
    from hyperofa_eval.text.tokenizer import rows_needed

    size = rows_needed(tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(range(size))
    special = np.zeros(size, dtype=bool)
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    specials = {*tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}
    special[list(specials)] = True
    special |= np.array([token is None for token in tokens])
    continues_word = _continues(tokenizer, tokens)
    continues = [bool(token) and continues_word(token) for token in tokens]
    return TokenTable(special, np.array(continues) & ~special, tokenizer.mask_token_id)


def _continues(tokenizer: Any, tokens: list[str | None]) -> Callable[[str], bool]:
    """Whether a token continues the word before it, by how the tokenizer itself marks words.

    Not by what its vocabulary looks like: one cut from text holds headings such as ``###`` as tokens of their own.
    """
    from hyperofa.vocab.surfaces import backend_spec, components, family

    spec = backend_spec(tokenizer)
    try:
        kind = family(spec)
    except InputError:  # it marks words in no known way: every token is then a word of its own
        return lambda token: False
    if kind == "wordpiece":
        prefix = spec["model"].get("continuing_subword_prefix") or ""
        return lambda token: bool(prefix) and token.startswith(prefix) and token != prefix
    mark = "Ġ"
    if kind == "sentencepiece":
        parts = [part for key in ("pre_tokenizer", "decoder") for part in components(spec.get(key))]
        mark = next((part["replacement"] for part in parts if part.get("type") == "Metaspace"), "▁")
    if not any(token and token.startswith(mark) for token in tokens):
        return lambda token: False  # a vocabulary of whole words
    return lambda token: not token.startswith(mark)


Tokenize = Callable[[Iterable[str]], Iterator[Document]]


@contextmanager
def tokenizing(
    directory: str | Path, processes: int = 1, *, read_special: bool = False, end: str | None = None
) -> Iterator[Tokenize]:
    """A function that gives the token ids of every text, in order, as often as it is called.

    ``read_special`` and ``end`` are those of :class:`DocumentTokenizer`. Several processes load the tokenizer once each, and a
    bounded number of tasks is in flight.

    Raises:
        HyperofaError: a process was killed.
    """
    if processes == 1:
        tokenizer = DocumentTokenizer(directory, read_special=read_special, end=end)
        yield lambda texts: itertools.chain.from_iterable(tokenizer(task) for task in chunks(texts, DOCUMENTS_PER_TASK))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_start_worker, initargs=(str(directory), read_special, end)
    ) as pool:
        yield lambda texts: _in_processes(pool, texts, in_flight=4 * processes)


def _in_processes(pool: ProcessPoolExecutor, texts: Iterable[str], *, in_flight: int) -> Iterator[Document]:
    waiting: deque[Future[list[Document]]] = deque()
    try:
        for task in chunks(texts, DOCUMENTS_PER_TASK):
            waiting.append(pool.submit(_work, task))
            if len(waiting) >= in_flight:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool:
        what = "a process that tokenises was killed, perhaps for want of memory"
        raise HyperofaError(what, where="--processes", todo="ask for fewer") from None


_worker: DocumentTokenizer | None = None


def _start_worker(directory: str, read_special: bool, end: str | None) -> None:
    global _worker  # noqa: PLW0603  (a worker process has exactly one tokenizer)
    _worker = DocumentTokenizer(directory, read_special=read_special, end=end)


def _work(texts: list[str]) -> list[Document]:
    if _worker is None:
        raise RuntimeError("the worker has no tokenizer")
    return _worker(texts)
