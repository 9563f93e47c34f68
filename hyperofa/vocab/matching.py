"""Which words match which tokens: every spelling of every word tokenised once, as one sparse matrix, cached on disk."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.base import wordkeys
from hyperofa.base.wordkeys import KeyScheme
from hyperofa.errors import HyperofaError
from hyperofa.vocab.contexts import BREAK, Context, contexts_of
from hyperofa.vocab.roles import special_roles
from hyperofa.vocab.spellings import Speller
from hyperofa.vocab.surfaces import tokens_with_text
from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.base.files import write_bytes

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

log = logging.getLogger(__name__)

_Tokens = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of U spellings: how many tokens each has (U,), the ids of all, and the lengths of the spellings (U,)."""
_VERSION = 2
_BATCH = 1 << 15
_JOINED = 256
_CACHE_OF_TOKENIZERS = 10_000  # the library's default


@dataclass(frozen=True)
class Matching:
    """Words matched to tokens.

    ``matrix`` is (V_t, n) float32, CSR with sorted indices. ``words`` is n, ``malformed`` counts the keys that were
    skipped (their columns are empty), ``examples`` are some of them, ``spellings`` the distinct strings that were
    tokenised.
    """

    matrix: csr_matrix
    words: int
    malformed: int
    examples: tuple[str, ...]
    spellings: int


def match_words(words: Sequence[str], tokenizer: Any) -> csr_matrix:
    """The (V_t, n) float32 matrix with 1.0 where a word matches a token; see :func:`match`."""
    matrix = match(words, tokenizer).matrix
    matrix.data[:] = 1
    return matrix


def match(
    words: Sequence[str],
    tokenizer: Any,
    *,
    scheme: KeyScheme | None = None,
    cache: Path | None = None,
    already_logged: bool = False,
) -> Matching:
    """Match words to tokens: a word matches a token if tokenising some spelling of it yields that token (HyperOFA).

    Its weight is the largest share of a spelling's tokens that the token makes up, the unknown one among them, so that 1.0
    says that the token is the whole word.

    Spellings: as is (the inside of a word, where the tokenizer can express that), with a boundary before it,
    capitalised, and capitalised with a boundary. A key that starts with a boundary mark has the two bounded ones
    only. Special tokens and the bare boundary (``▁``, ``Ġ``) match nothing: they would match every word that cannot
    be tokenised, or that stands alone.

    Args:
        words: n keys ``lang:word``, such as :attr:`hyperofa.vectors.store.WordVectors.words`.
        tokenizer: The target fast tokenizer (V_t tokens).
        scheme: How keys are read; by default what the words say (a store's list knows), else :data:`wordkeys.STORED`.
        cache: A folder for results, keyed by the hashes of tokenizer, words and settings.
        already_logged: Malformed keys of these words have been logged already.

    Malformed keys are counted, logged and skipped.
    """
    if scheme is None:
        scheme = getattr(words, "scheme", wordkeys.STORED)
    path = cache and cache / f"matching-{_key(words, tokenizer, scheme)[:32]}.safetensors"
    if path is not None and (stored := _load(path)) is not None:
        return stored
    result = _match(words, tokenizer, scheme)
    if result.malformed and not already_logged:
        examples = ", ".join(repr(key) for key in result.examples)
        log.warning("matching: skipped %d malformed of %d keys, such as %s", result.malformed, result.words, examples)
    if path is not None:
        _save(path, result)
    return result


def _match(words: Sequence[str], tokenizer: Any, scheme: KeyScheme) -> Matching:
    counts, unknown = tokens_with_text(tokenizer), tokenizer.unk_token_id
    contexts = contexts_of(tokenizer)
    speller = Speller(scheme, capitalised=not _folds_case(contexts))
    futures: list[list[Future[_Tokens]]] = [[] for _ in contexts]
    # The tokenizer works without the interpreter's lock: while it cuts one block's strings, the next block is spelled.
    with (
        _uncached(tokenizer.backend_tokenizer.model),
        progress_bar("matching words to tokens", len(words)) as advance,
        ThreadPoolExecutor(1) as worker,
    ):
        for start in range(0, len(words), _BATCH):
            block = words[start : start + _BATCH]
            texts = speller.add(block)
            for context, parts in zip(contexts, futures, strict=True):
                parts.append(worker.submit(_tokenise, context, texts, counts, unknown))
            if len(futures[0]) > 2:
                futures[0][-3].result()  # the speller stays at most two blocks ahead, and an error comes out at once
            advance(len(block))
    columns, spellings, bounded_only = speller.pairs()
    parts_of_contexts = []
    for context, parts in zip(contexts, futures, strict=True):
        # Every word's spellings in this context; the inside of a word is no context for keys that start one.
        use = slice(None) if context.bounded else ~bounded_only
        tokens = _joined([part.result() for part in parts])
        parts_of_contexts.append((tokens, spellings[use], columns[use]))
    total = _spread(parts_of_contexts, (len(counts), len(words)))
    return Matching(total, len(words), speller.malformed, tuple(speller.examples), len(speller))


@contextmanager
def _uncached(model: Any) -> Iterator[None]:
    """Switch off the model's cache of words: every string comes once, so it would only be filled and locked."""
    resize = getattr(model, "_resize_cache", lambda size: None)  # BPE and unigram have one, WordPiece has not
    resize(0)
    try:
        yield
    finally:
        resize(_CACHE_OF_TOKENIZERS)


def _folds_case(contexts: list[Context]) -> bool:
    backend, prefix = contexts[0].backend, contexts[0].prefix
    upper, lower = ([f"{prefix}A", f"{prefix}The"], [f"{prefix}a", f"{prefix}the"])
    cut = [[item.ids for item in backend.encode_batch(texts, add_special_tokens=False)] for texts in (upper, lower)]
    return cut[0] == cut[1]


def _tokenise(context: Context, texts: list[str], counts: np.ndarray, unknown: int | None) -> _Tokens:
    """The tokens of U strings: how many each has that count (U,), their ids, and the lengths (U,), unknown ones included."""
    end = context.backend.token_to_id(BREAK)
    counts = np.append(counts, np.zeros(max(end + 1 - len(counts), 0), dtype=bool))
    # A tokenizer call costs more than a word, so many strings go into one text, each followed by the break.
    between = f"{BREAK}{context.prefix}"
    joined = [f"{context.prefix}{between.join(texts[i : i + _JOINED])}{BREAK}" for i in range(0, len(texts), _JOINED)]
    encoded = context.backend.encode_batch_fast(joined, add_special_tokens=False)
    flat = np.concatenate([np.zeros(0, dtype=np.int32), *[np.asarray(item.ids, dtype=np.int32) for item in encoded]])
    breaks = flat == end
    if int(breaks.sum()) != len(texts):
        raise HyperofaError("the tokenizer lost a break between words", where="matching")
    keep = counts[flat] & ~breaks
    owner = np.cumsum(breaks) - breaks
    size = np.bincount(owner[keep], minlength=len(texts))
    unknowns = np.bincount(owner[flat == (-1 if unknown is None else unknown)], minlength=len(texts))
    return size, flat[keep], size + unknowns


def _joined(parts: list[_Tokens]) -> _Tokens:
    """The parts one after another: offsets (U + 1,), token ids, and a weight for each."""
    size = np.concatenate([np.zeros(1, dtype=np.int64), *[sizes for sizes, _, _ in parts]])
    flat = np.concatenate([np.zeros(0, dtype=np.int32), *[ids for _, ids, _ in parts]])
    lengths = np.concatenate([np.ones(1, dtype=np.int64), *[lengths for _, _, lengths in parts]])
    return (np.cumsum(size), flat, np.repeat((1.0 / np.maximum(lengths, 1)).astype(np.float32), size))


def _spread(parts: list[tuple[_Tokens, np.ndarray, np.ndarray]], shape: tuple[int, int]) -> csr_matrix:
    """The tokens of spellings given to the words that have them, as a (V_t, n) matrix with sorted indices.

    ``parts`` are (what :func:`_joined` gives, spelling, word) for each context and pair of word and spelling; the largest
    weight of a token in a word stays.
    """
    from scipy.sparse import csr_matrix

    word = np.concatenate([words for _, _, words in parts])
    order = np.argsort(word, kind="stable")
    ids, weights = (np.concatenate([tokens[i] for tokens, _, _ in parts]) for i in (1, 2))
    bases = np.cumsum([0, *[len(tokens[1]) for tokens, _, _ in parts[:-1]]])
    firsts = [offsets[spelling] + base for ((offsets, _, _), spelling, _), base in zip(parts, bases, strict=True)]
    sizes = np.concatenate([np.diff(offsets)[spelling] for (offsets, _, _), spelling, _ in parts])[order]
    where = np.repeat(np.concatenate(firsts)[order] - (np.cumsum(sizes) - sizes), sizes)
    where += np.arange(len(where))
    ends = np.cumsum(np.bincount(word[order], weights=sizes, minlength=shape[1]))
    starts = np.concatenate([[0], ends]).astype(np.int64)
    # A transposition sorts without comparing: the words of a token come in order, the same word more than once side by side.
    by_token = csr_matrix((weights[where], ids[where], starts), shape=shape[::-1]).tocsc()
    words = by_token.indices
    first = np.ones(len(words), dtype=bool)
    first[1:] = words[1:] != words[:-1]
    first[by_token.indptr[:-1][np.diff(by_token.indptr) > 0]] = True
    data = np.maximum.reduceat(by_token.data, np.flatnonzero(first)) if len(words) else by_token.data
    indptr = np.concatenate([[0], np.cumsum(first)])[by_token.indptr]
    total = csr_matrix((data, words[first], indptr), shape=shape)
    total.has_canonical_format = True
    return total


def _key(words: Sequence[str], tokenizer: Any, scheme: KeyScheme) -> str:
    """A hash of all that decides a result."""
    if hasattr(words, "sha256"):  # a store's list
        hashed = words.sha256()
    else:
        hashed = hashlib.sha256("".join(f"{word}\n" for word in words).encode("utf-8", "surrogatepass")).hexdigest()
    settings = {"version": _VERSION, "words": hashed, "scheme": asdict(scheme), "roles": special_roles(tokenizer)}
    text = json.dumps(settings, sort_keys=True) + tokenizer.backend_tokenizer.to_str()
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _save(path: Path, result: Matching) -> None:
    """Write a result so that the file is whole or absent."""
    from safetensors.numpy import save

    matrix = result.matrix
    facts = {name: getattr(result, name) for name in ("words", "malformed", "examples", "spellings")}
    tensors = {"indptr": matrix.indptr, "indices": matrix.indices, "data": matrix.data}
    metadata = {"facts": json.dumps(facts), "shape": json.dumps(list(matrix.shape))}
    write_bytes(path, save(tensors, metadata))


def _load(path: Path) -> Matching | None:
    """A cached result, or None where there is none or it is damaged (then it is made again)."""
    from safetensors import SafetensorError, safe_open
    from scipy.sparse import csr_matrix

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            parts = tuple(file.get_tensor(name) for name in ("data", "indices", "indptr"))
            metadata = file.metadata() or {}
        matrix = csr_matrix(parts, shape=tuple(json.loads(metadata["shape"])))
        matrix.has_sorted_indices = True
        facts = json.loads(metadata["facts"])
        return Matching(matrix, **(facts | {"examples": tuple(facts["examples"])}))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        log.warning("matching: made again, the cached %s is damaged (%s)", path.name, error)
        return None
