"""What a run trains: its model and the batches of its corpus, and whether they go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyperofa.corpus.batches import Batches
from hyperofa.corpus.masking import Masking
from hyperofa.corpus.order import stream_key
from hyperofa.corpus.packed import PackedCorpus
from hyperofa.errors import InputError
from hyperofa.train.bias import start_at_frequencies

if TYPE_CHECKING:
    from hyperofa.train.config import TrainConfig


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
    if config.phase_steps and not parts - frozen_parts(config.phase):
        what = (
            f"nothing would learn in the phase {config.phase!r}: the parts with a rate are {', '.join(sorted(parts))}"
        )
        raise InputError(what, where=config.model, todo="choose another phase, or leave it out")


def choose_what_learns(config: TrainConfig, model: Any) -> None:
    """Put adapters into the body of a wrapped model where the run wants them, and freeze the parts that never learn.

    Raises:
        InputError: adapters are wanted for a layer that the body has not.
        HyperofaError: they are wanted, and peft is not installed.
    """
    from hyperofa.model.phases import freeze

    wanted = config.adapter
    if wanted.rank:
        from hyperofa.model.adapter import add_adapter

        seed = stream_key(config.seed, "adapter")
        model.adapter = add_adapter(model, rank=wanted.rank, alpha=wanted.alpha, targets=wanted.targets, seed=seed)
    freeze(model, config.frozen)


def load_inputs(config: TrainConfig) -> tuple[Any, Batches]:
    """The model ready for training, and the batches of its corpus.

    Raises:
        DataMissingError: one of them is not there.
        InputError: one is damaged, or they do not go together.
    """
    from hyperofa.model import load_for_training

    corpus = PackedCorpus.open(config.corpus)
    model = load_for_training(
        config.model,
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
    causal = model.objective == "causal"
    if causal and config.whole_words:
        what = "whole_words chooses what to mask, and a causal model masks nothing"
        raise InputError(what, where=config.model, todo="leave whole_words out")
    masking = None if causal else Masking(rate=config.mask_rate, whole_words=config.whole_words)
    batches = Batches(corpus, global_batch=config.global_batch_size, seed=config.seed, masking=masking)
    if config.head_bias == "corpus":
        start_at_frequencies(model, batches, config.steps)
    return model, batches
