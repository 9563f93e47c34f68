"""What a run trains: its model and the batches of its corpus, and whether they go together."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from hyperofa.base.hub import local_folder
from hyperofa.base.sentence_modules import for_sentences
from hyperofa.corpus.batches import Batches
from hyperofa.corpus.masking import Masking
from hyperofa.corpus.order import stream_key
from hyperofa.corpus.packed import PackedCorpus
from hyperofa.corpus.sentence.batches import SentenceBatches
from hyperofa.errors import InputError
from hyperofa.init.provenance import new_rows
from hyperofa.train.bias import start_at_frequencies
from hyperofa_eval.base.files import read_json

if TYPE_CHECKING:
    from hyperofa.model import SentenceTargets
    from hyperofa.train.config import Objective, TrainConfig

log = logging.getLogger(__name__)


def check_that_something_learns(config: TrainConfig, parts: set[str]) -> None:
    """Refuse a run, or a phase of it, in which no part that the model has is left to learn.

    Args:
        config: the run's.
        parts: those of the model's parts whose learning rate is not 0.

    Raises:
        InputError: there is none.
    """
    from hyperofa.model.phases import frozen_parts

    if not parts:
        what = "learning_rates are 0 for every part that the model has"
        raise InputError(what, where=config.model, todo="let one of them learn")
    if config.phase == "new_rows" and not new_rows(config.model).any():
        what = "nothing would learn in the phase 'new_rows': all rows are the source's"
        raise InputError(what, where=config.model, todo="choose another phase, or leave it out")
    if not parts - frozen_parts(config.phase):
        what = (
            f"nothing would learn in the phase {config.phase!r}: the parts with a rate are {', '.join(sorted(parts))}"
        )
        raise InputError(what, where=config.model, todo="choose another phase, or leave it out")


def warn_of_objective(model: str, objective: Objective) -> None:
    """Say in one line where a run's objective is not what its model was made for; ``model`` is a directory or hub id."""
    made_for_sentences, new_head = for_sentences(model), head_is_new(model)
    if objective == "tokens" and (made_for_sentences or new_head):
        why = (
            "this model was made for sentence vectors" if made_for_sentences else "this model's head over tokens is new"
        )
        todo = "objective: sentence learns those of its source"
        log.warning("%s: %s, and a loss over tokens moves them for worse; %s (docs/training.md)", model, why, todo)
    elif objective == "sentence" and not (made_for_sentences or new_head):
        what = "this model was made for a loss over tokens, and its sentence vectors were never trained"
        log.warning("%s: %s; objective: tokens is its own (docs/training.md)", model, what)


def head_is_new(model: str) -> bool:
    """Whether ``hyperofa init`` noted that the model's source had no language-model head."""
    path = local_folder(model, ["init.json"]) / "init.json"
    record = read_json(path) if path.is_file() else None
    head = record.get("head") if isinstance(record, dict) else None
    return isinstance(head, dict) and head.get("is_new") is True


def _sentence_targets(config: TrainConfig, corpus: PackedCorpus) -> SentenceTargets | None:
    """What sentences learn; None where the loss is over tokens. Refuses, as :class:`InputError`, a corpus of the other kind."""
    from hyperofa.model.training import SentenceTargets

    if corpus.targets is None:
        if config.objective == "tokens":
            return None
        todo = "prepare one with hyperofa corpus prepare --source MODEL --parallel DIR"
        raise InputError("objective is sentence, and the corpus is packed text", where=config.corpus, todo=todo)
    if config.objective == "tokens":
        todo = "set objective: sentence, or prepare the text without --source"
        raise InputError("the corpus holds sentences with target vectors", where=config.corpus, todo=todo)
    mean, variance = corpus.target_moments
    targets = corpus.targets
    return SentenceTargets(targets.pooling, targets.normalised, torch.from_numpy(mean), variance)


def choose_what_learns(config: TrainConfig, model: Any) -> None:
    """Put adapters into the body of a wrapped model where the run wants them, and freeze what never learns.

    Raises:
        InputError: adapters are wanted for a layer that the body has not.
        HyperofaError: they are wanted, and peft is not installed.
    """
    from hyperofa.model.phases import freeze, freeze_beyond_body

    adapter = config.adapter
    if adapter.rank:
        from hyperofa.model.adapter import add_adapter

        seed = stream_key(config.seed, "adapter")
        model.adapter = add_adapter(model, rank=adapter.rank, alpha=adapter.alpha, targets=adapter.targets, seed=seed)
    freeze(model, config.frozen)
    if config.objective == "sentence":
        freeze_beyond_body(model.pretrained)


def load_inputs(config: TrainConfig) -> tuple[Any, Batches]:
    """The model ready for training, and the batches of its corpus.

    Raises:
        DataMissingError: one of them is not there.
        InputError: one is damaged, or they do not go together.
    """
    from hyperofa.model import load_for_training

    corpus = PackedCorpus.open(config.corpus)
    sentences = _sentence_targets(config, corpus)
    warn_of_objective(config.model, config.objective)
    model = load_for_training(
        config.model,
        sentences=sentences,
        dropout=config.dropout,
        separate_documents=config.separate_documents,
        tied_gradient=config.tied_gradient,
        impl=config.impl,
        chunk_bytes=config.chunk_bytes,
    )
    if corpus.vocab_size > model.config.vocab_size:
        what = f"the corpus's tokenizer has {corpus.vocab_size:,} entries, the model {model.config.vocab_size:,} rows"
        raise InputError(what, where=config.corpus, todo="prepare the corpus with the model's tokenizer")
    positions = model.max_length
    if positions is not None and corpus.length > positions:
        what = f"its sequences have {corpus.length} tokens, the model has {positions} positions"
        raise InputError(what, where=config.corpus, todo="prepare the corpus with a smaller --length")
    choose_what_learns(config, model)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    if sentences is not None:
        return model, SentenceBatches(corpus, global_batch=config.global_batch_size, seed=config.seed)
    causal = model.objective == "causal"
    if causal and config.whole_words:
        what = "whole_words chooses what to mask, and a causal model masks nothing"
        raise InputError(what, where=config.model, todo="leave whole_words out")
    masking = None if causal else Masking(rate=config.mask_rate, whole_words=config.whole_words)
    batches = Batches(corpus, global_batch=config.global_batch_size, seed=config.seed, masking=masking)
    if config.head_bias == "corpus":
        start_at_frequencies(model, batches, config.steps)
    return model, batches
