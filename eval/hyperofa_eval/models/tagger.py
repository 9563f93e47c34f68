"""A linear tagger over a transformer body: fine-tuned on English once per seed, then applied to any language."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, embedding

from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.base.errors import EvalError, InputError
from hyperofa_eval.base.files import sha256_json, write_bytes
from hyperofa_eval.data.readers import Sentence
from hyperofa_eval.models.encoder import pad, pad_id, positions
from hyperofa_eval.models.loaded import LoadedModel
from hyperofa_eval.models.words import Window, WordEncoder
from hyperofa_eval.tasks.tagging import Tagging
from hyperofa_eval.tasks.task import settings_of

log = logging.getLogger(__name__)

IGNORED = -100
POOL = 64
"""Batches that are sorted by length together in training: little padding, still a random order."""


@dataclass
class Tagger:
    """Sentences to tags, with the model it was fitted to."""

    body: Any
    head: nn.Linear
    tags: list[str]
    words: WordEncoder
    max_length: int
    batch_size: int
    dropout: float = 0.1
    precision: torch.dtype = torch.float32
    """What the body's products are worked out in; the weights themselves are float32."""

    def __call__(self, sentences: Sequence[Sentence]) -> list[list[str]]:
        """One tag per word of every sentence; the windows of a long sentence are joined again."""
        self.body.eval()
        windows = self.words.windows(sentences, self.max_length)
        out: list[list[str]] = [[""] * len(sentence.tokens) for sentence in sentences]
        order = sorted(range(len(windows)), key=lambda i: (len(windows[i].ids), i))
        for start in range(0, len(order), self.batch_size):
            batch = [windows[i] for i in order[start : start + self.batch_size]]
            with torch.inference_mode():
                best = self.logits(batch).argmax(-1).cpu()
            for row, window in zip(best, batch, strict=True):
                for i, place in enumerate(window.first):
                    out[window.sentence][window.start + i] = self.tags[int(row[place])]
        return out

    def logits(self, windows: Sequence[Window]) -> torch.Tensor:
        """Scores (n, L, tags) of a batch of windows, float32."""
        device = self.head.weight.device
        ids, mask = pad([window.ids for window in windows], pad_id(self.words.tokenizer, self.body), device)
        with torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32):
            states = self.body(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.head(nn.functional.dropout(states.float(), self.dropout, self.body.training))

    def loss(self, windows: Sequence[Window], sentences: Sequence[Sentence]) -> torch.Tensor:
        """Mean cross-entropy over the words' first sub-tokens."""
        logits = self.logits(windows)
        labels = torch.full(logits.shape[:2], IGNORED, device=logits.device)
        number = {tag: i for i, tag in enumerate(self.tags)}
        for row, window in enumerate(windows):
            tags = sentences[window.sentence].tags[window.start : window.start + len(window.first)]
            labels[row, list(window.first)] = torch.tensor([number[tag] for tag in tags], device=logits.device)
        return cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)

    def state(self) -> dict[str, torch.Tensor]:
        """Copies, on the CPU, of all weights but those that are frozen."""
        weights, frozen = self._weights()
        return {key: value.cpu().clone().contiguous() for key, value in weights.items() if key not in frozen}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put weights of :meth:`state` back."""
        weights, frozen = self._weights()
        nn.ModuleDict({"body": self.body, "head": self.head}).load_state_dict(
            {key: weights[key] for key in frozen} | state
        )

    def _weights(self) -> tuple[dict[str, torch.Tensor], set[str]]:
        both = nn.ModuleDict({"body": self.body, "head": self.head})
        return both.state_dict(), {name for name, parameter in both.named_parameters() if not parameter.requires_grad}


def fit(model: LoadedModel, train: Sequence[Sentence], dev: Sequence[Sentence], task: Tagging, seed: int) -> Tagger:
    """Fine-tune a copy of the model's body and keep the epoch that is best on ``dev`` (the first of equals).

    The copy's weights are float32 whatever the model's are: a step of 2e-5 is lost in a half-precision weight. A model
    loaded in half precision is worked out in it (autocast; float16 with a scaled loss). The seed decides the head's start,
    the order and the dropout; the global random state is left as it was. With a cache folder the fitted weights are kept
    there by the hash of model, tokenizer, sentences, settings and seed; a file there that is not whole is written anew.

    Raises:
        InputError: the model's weights are not finite.
        EvalError: the loss is not finite.
    """
    if not all(bool(torch.isfinite(parameter).all()) for parameter in model.body.parameters()):
        raise InputError("the model's weights hold NaN or infinity", where=model.name)
    device = torch.device(model.processes.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        tagger = _new(model, train, task, device)
        cached = _cache_file(model, train, dev, task, seed)
        kept = _read(cached)
        if kept is not None:
            tagger.restore(kept)
            return tagger
        best = _train(tagger, train, dev, task, seed)
        tagger.restore(best)
    if cached is not None:
        _save(best, cached)
    return tagger


def _new(model: LoadedModel, train: Sequence[Sentence], task: Tagging, device: torch.device) -> Tagger:
    precision = next(model.body.parameters()).dtype
    body = copy.deepcopy(model.body).to(device).float()
    body.requires_grad_(True)
    config = body.config.get_text_config()
    tags = sorted({tag for sentence in train for tag in sentence.tags})
    head = nn.Linear(config.hidden_size, len(tags))
    nn.init.normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    rates = [getattr(config, name, None) for name in ("classifier_dropout", "hidden_dropout_prob")]
    return Tagger(
        body=body,
        head=head.to(device),
        tags=tags,
        words=WordEncoder(model.tokenizer, prefix_space=task.prefix_space),
        max_length=min(task.max_length, model.tokenizer.model_max_length, positions(body)),
        batch_size=model.batch_size,
        dropout=next((float(rate) for rate in rates if rate is not None), 0.1),
        precision=precision,
    )


def _train(
    tagger: Tagger, train: Sequence[Sentence], dev: Sequence[Sentence], task: Tagging, seed: int
) -> dict[str, torch.Tensor]:
    windows = tagger.words.windows(train, tagger.max_length)
    used = {token for window in windows for token in window.ids}
    rows = None if task.weight_decay else train_used_rows(tagger.body, used)
    both = [*tagger.body.parameters(), *tagger.head.parameters()]
    parameters = [parameter for parameter in both if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=task.learning_rate, weight_decay=task.weight_decay, fused=True)
    scaler = torch.amp.GradScaler(tagger.head.weight.device.type, enabled=tagger.precision == torch.float16)
    per_epoch = -(-len(windows) // task.train_batch_size)
    total = per_epoch * task.epochs
    warmup = round(task.warmup * total)
    best, best_score, step = tagger.state(), -1.0, 0
    with progress_bar(f"{task.name}: fine-tuning, seed {seed}", total) as advance:
        for epoch in range(task.epochs):
            tagger.body.train()
            for batch in _batches(windows, task.train_batch_size, seed, epoch):
                for group in optimizer.param_groups:
                    group["lr"] = task.learning_rate * min(
                        (step + 1) / (warmup + 1), (total - step) / max(total - warmup, 1)
                    )
                loss = tagger.loss(batch, train)
                if not torch.isfinite(loss):
                    raise EvalError(f"the loss is {loss.item()} in epoch {epoch + 1}", where=f"fine-tuning {task.name}")
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(parameters, task.clip)
                scaler.step(optimizer)
                scaler.update()
                step += 1
                advance(note=f"loss {loss.item():.3f}")
            score = task.items(dev, tagger(dev))[task.metric].value()
            log.info("%s seed %d: epoch %d, English dev %s %.2f", task.name, seed, epoch + 1, task.metric, score)
            if score > best_score:
                best, best_score = tagger.state(), score
    if rows is None:
        return best
    tagger.restore(best)
    tagger.body.set_input_embeddings(rows.written())
    return tagger.state()


class UsedRows(nn.Module):
    """The embedding of some rows that learn and of all others as they are.

    Rows that a text does not hold have no gradient, and without weight decay AdamW leaves them alone. So the outcome is that of
    training the whole matrix, but gradient, norm and moments are of the used rows alone: a multilingual vocabulary has some
    250,000, and 600 sentences use 5,000.
    """

    def __init__(self, whole: nn.Embedding, used: Iterable[int]) -> None:
        super().__init__()
        self.whole = whole.requires_grad_(False)
        ids = torch.tensor(sorted({*used} - {whole.padding_idx}), device=whole.weight.device)
        self.rows = nn.Parameter(whole.weight[ids].clone())
        self.places: torch.Tensor
        self.register_buffer("places", torch.full((whole.num_embeddings,), -1, device=ids.device), persistent=False)
        self.places[ids] = torch.arange(len(ids), device=ids.device)

    @property
    def weight(self) -> torch.Tensor:
        """The matrix (V, D) as it was before training."""
        return self.whole.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Rows of tokens, (..., D)."""
        places = self.places[ids]
        learning = embedding(places.clamp(min=0), self.rows)
        return torch.where((places >= 0).unsqueeze(-1), learning, self.whole(ids))

    def written(self) -> nn.Embedding:
        """The plain embedding, with the rows that have learnt."""
        with torch.no_grad():
            self.whole.weight[self.places >= 0] = self.rows.to(self.whole.weight.dtype)
        return self.whole.requires_grad_(True)


def train_used_rows(body: Any, used: Iterable[int]) -> UsedRows | None:
    """Put :class:`UsedRows` in place of a body's input embedding.

    None, and nothing changed, where it is not a plain one, or the body does not give it or let it be replaced.
    """
    try:
        whole = body.get_input_embeddings()
        body.set_input_embeddings(whole)  # as it is, to learn whether that can be done
    except NotImplementedError:
        return None
    if type(whole) is not nn.Embedding or whole.max_norm is not None or whole.scale_grad_by_freq or whole.sparse:
        return None
    if sum(parameter is whole.weight for _, parameter in body.named_parameters(remove_duplicate=False)) > 1:
        return None
    rows = UsedRows(whole, used)
    body.set_input_embeddings(rows)
    return rows


def _batches(windows: Sequence[Window], size: int, seed: int, epoch: int) -> list[list[Window]]:
    """A random order of the windows in batches of similar length; a function of (seed, epoch)."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(len(windows), generator=generator).tolist()
    batches: list[list[Window]] = []
    for start in range(0, len(order), size * POOL):
        pool = sorted(order[start : start + size * POOL], key=lambda i: len(windows[i].ids))
        batches += [[windows[i] for i in pool[j : j + size]] for j in range(0, len(pool), size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def _cache_file(
    model: LoadedModel, train: Sequence[Sentence], dev: Sequence[Sentence], task: Tagging, seed: int
) -> Path | None:
    if model.cache is None:
        return None
    content = [[[s.tokens, s.tags] for s in part] for part in (train, dev)]
    identity = [model.identity["sha256"], model.identity["tokenizer_sha256"]]
    digest = sha256_json([task.reading, identity, content, settings_of(task), seed])
    return model.cache / f"tagger-{digest[:32]}.safetensors"


def _read(path: Path | None) -> dict[str, torch.Tensor] | None:
    """The weights that are kept there, None where there are none or the file is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path is None or not path.is_file():
        return None
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        log.warning("%s: not a whole cache file (%s); the tagger is trained again", path, error)
        return None


def _save(state: dict[str, torch.Tensor], path: Path) -> None:
    from safetensors.torch import save

    try:
        write_bytes(path, save(state))
    except OSError as error:
        raise InputError(f"cannot keep the tagger ({error})", where=path, todo="see --cache") from None
