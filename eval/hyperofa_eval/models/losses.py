"""Per-passage losses of a model with a language-model head, computed at the wanted positions only."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.base.errors import InputError
from hyperofa_eval.models.encoder import pad, pad_id, positions
from hyperofa_eval.models.loaded import LoadedModel
from hyperofa_eval.models.protocols import Loss
from hyperofa_eval.text.plain_text import PlainText
from hyperofa_eval.text.unspaced import UNSPACED

log = logging.getLogger(__name__)

LOGIT_BYTES = 256 << 20
RUN = 2
"""Characters of a "word" in scripts that put no spaces between words."""
WORDS = re.compile(rf"[{UNSPACED}]{{1,{RUN}}}|[^\W{UNSPACED}]+")


@dataclass(frozen=True)
class Passage:
    """Model input of a passage and what it is asked for: ``targets[i]`` at ``places[i]``."""

    ids: list[int]
    places: list[int]
    targets: list[int]
    characters: int


def text_losses(model: LoadedModel, texts: Sequence[str], share: float, seed: int) -> list[Loss]:
    """The losses of each text, in their order; every process of the run must call it alike.

    Raises:
        InputError: the model has no language-model head, its tokenizer no mask token, or a loss is not finite.
    """
    if model.head == "none":
        raise InputError("the model was loaded without a language-model head", where=model.name)
    if not getattr(model.tokenizer, "is_fast", False):
        raise InputError("the task lm needs a fast tokenizer (one with character offsets)", where=model.name)
    limit = min(model.tokenizer.model_max_length, positions(model.body))
    parts: list[tuple[int, Passage]] = []
    plain = PlainText(model.tokenizer)
    for i, text in enumerate(texts):
        parts += [(i, passage) for passage in _passages(model, plain, text, limit, share, seed)]
    order = sorted(range(len(parts)), key=lambda k: (len(parts[k][1].ids), k))
    batches = list(_batches(order, [part for _, part in parts], model))
    mine = batches[model.processes.rank :: model.processes.world]
    losses: list[tuple[int, Loss]] = []
    with progress_bar("language modelling", len(parts)) as advance:
        for batch in mine:
            nats = _nats(model, [parts[k][1] for k in batch])
            for k, value in zip(batch, nats, strict=True):
                i, passage = parts[k]
                unknown = passage.targets.count(model.tokenizer.unk_token_id)
                losses.append((i, (value, len(passage.targets), passage.characters, unknown)))
            advance(len(batch) * model.processes.world)
    rows: list[Loss] = [(0.0, 0, 0, 0)] * len(texts)
    # Summed in a fixed order, so that the number of processes cannot change the last bit.
    for i, row in sorted(pair for part in model.processes.gather(losses) for pair in part):
        rows[i] = tuple(a + b for a, b in zip(rows[i], row, strict=True))
    return rows


def chosen_words(text: str, share: float, seed: int) -> list[tuple[int, int]]:
    """The (start, end) of the words to mask: a function of (text, seed), at least one where there is a word."""
    spans = [match.span() for match in WORDS.finditer(text)]
    if not spans:
        return [(0, len(text))]
    digests = [hashlib.blake2b(f"{seed} {i} {text}".encode(), digest_size=8).digest() for i in range(len(spans))]
    draws = [int.from_bytes(digest) / 2**64 for digest in digests]
    picked = [span for span, draw in zip(spans, draws, strict=True) if draw < share]
    return picked or [spans[draws.index(min(draws))]]


def _passages(
    model: LoadedModel, plain: PlainText, text: str, limit: int, share: float, seed: int
) -> Iterator[Passage]:
    options = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    encoded = plain([text], verbose=False, **options)  # what is too long is cut below
    if len(encoded["input_ids"][0]) > limit and len(text) > 1:
        half = len(text) // 2
        yield from _passages(model, plain, text[:half], limit, share, seed)
        yield from _passages(model, plain, text[half:], limit, share, seed)
        return
    ids, offsets, special = (encoded[key][0] for key in ("input_ids", "offset_mapping", "special_tokens_mask"))
    if model.head == "causal":
        bos = model.tokenizer.bos_token_id
        start = model.tokenizer.eos_token_id if bos is None else bos
        if start is not None and (not ids or ids[0] != start):
            ids, special, offsets = [start, *ids][:limit], [1, *special][:limit], [(0, 0), *offsets][:limit]
        places = [i for i in range(1, len(ids)) if not special[i]]
        if places:
            unscored = 0 if special[0] else offsets[0][1]  # nothing comes before the first token
            yield Passage(list(ids), [i - 1 for i in places], [ids[i] for i in places], len(text) - unscored)
        return
    mask = model.tokenizer.mask_token_id
    if mask is None:
        raise InputError("the tokenizer has no mask token", where=model.name)
    words = chosen_words(text, share, seed)
    places = [i for i, (a, b) in enumerate(offsets) if not special[i] and any(a < y and x < b for x, y in words)]
    if places:
        hidden = set(places)
        masked = [mask if i in hidden else token for i, token in enumerate(ids)]
        yield Passage(masked, places, [ids[i] for i in places], _covered(text, [offsets[i] for i in places]))


def _covered(text: str, offsets: Sequence[tuple[int, int]]) -> int:
    """How many characters the tokens stand for, spaces apart: some tokenizers give a word the space before it."""
    places = {place for a, b in offsets for place in range(a, b)}
    return sum(not text[place].isspace() for place in places)


def _batches(order: Sequence[int], passages: Sequence[Passage], model: LoadedModel) -> Iterator[list[int]]:
    """Passages of similar length, as many as the batch size and the logits' memory allow."""
    room = LOGIT_BYTES // (4 * model.body.config.get_text_config().vocab_size)
    batch: list[int] = []
    used = 0
    for k in order:
        size = len(passages[k].places)
        if batch and (len(batch) == model.batch_size or used + size > room):
            yield batch
            batch, used = [], 0
        batch.append(k)
        used += size
    if batch:
        yield batch


def _nats(model: LoadedModel, batch: Sequence[Passage]) -> list[float]:
    device = next(model.model.parameters()).device
    ids, mask = pad([passage.ids for passage in batch], pad_id(model.tokenizer, model.body), device)
    rows = torch.tensor([i for i, p in enumerate(batch) for _ in p.places], device=device)
    places = torch.tensor([place for p in batch for place in p.places], device=device)
    targets = torch.tensor([target for p in batch for target in p.targets], device=device)
    with torch.inference_mode():
        with _at(model.body, rows, places) as used:
            logits = model.model(input_ids=ids, attention_mask=mask).logits
        if not used or logits.shape[:2] != (1, len(places)):
            log.debug("%s: the head does not take chosen positions; computing all", model.name)
            logits = model.model(input_ids=ids, attention_mask=mask).logits[rows, places][None]
        losses = cross_entropy(logits[0].float(), targets, reduction="none").double()
    sums = torch.zeros(len(batch), dtype=torch.float64, device=device).index_add_(0, rows, losses)
    if not torch.isfinite(sums).all():
        raise InputError("the model's loss is NaN or infinite", where=model.name, todo="check its weights")
    return sums.tolist()


@contextmanager
def _at(body: Any, rows: torch.Tensor, places: torch.Tensor) -> Iterator[list[bool]]:
    """Let the body hand only the chosen positions, as one row (1, K, D), to the head, which works on each alone."""
    used: list[bool] = []

    def hook(_module: Any, _inputs: Any, output: Any) -> Any:
        if getattr(output, "last_hidden_state", None) is None:
            return None
        output.last_hidden_state = output.last_hidden_state[rows, places][None]
        used.append(True)
        return output

    handle = body.register_forward_hook(hook)
    try:
        yield used
    finally:
        handle.remove()
