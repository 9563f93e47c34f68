"""Factorised embedding and head, model families, the masked loss, assembling and dense export.

What :func:`assemble` saved, the Auto classes of transformers load (``AutoModelForMaskedLM.from_pretrained(DIR)``): see
:mod:`hyperofa.autoclasses`.

What training uses::

    model = load_for_training(DIR, dropout=0.0)          # a TrainingModel around the pre-trained one
    out = model(**batch.inputs)                          # input_ids, labels, segments, dropout_keys, all (B, L) or (B,)
    out.loss_sum        # () float32: the sum of the losses of the wanted positions, with a graph even if there is none
    out.n_targets       # () int64: how many positions were wanted; divide global sums by global counts
    out.row_loss_sums   # (B,) float32, detached, and out.row_targets (B,) int64: for the loss per language
    model.pretrained.save_pretrained(…)                  # the transformers model inside; .config is its config
    parameter_groups(model, weight_decay=0.01)           # optimizer groups by part, see hyperofa.model.phases
    model.set_phase("all" | "embeddings" | "new_rows" | …)   # which part learns now (see hyperofa.model.phases)
"""

from __future__ import annotations

from hyperofa.autoclasses import registers_on_demand
from hyperofa.model.assemble import assemble, export_dense
from hyperofa.model.factorized import FactorizedEmbedding, FactorizedHead
from hyperofa.model.families import FAMILIES, Family, register_all
from hyperofa.model.loss import linear_cross_entropy
from hyperofa.model.phases import parameter_groups
from hyperofa.model.pretrained import load_source
from hyperofa.model.source import Source
from hyperofa.model.training import (
    SentenceModel,
    SentenceTargets,
    TrainingModel,
    TrainingOutput,
    load_for_training,
)

if not registers_on_demand():
    register_all()

__all__ = [
    "FAMILIES",
    "FactorizedEmbedding",
    "FactorizedHead",
    "Family",
    "SentenceModel",
    "SentenceTargets",
    "Source",
    "TrainingModel",
    "TrainingOutput",
    "assemble",
    "export_dense",
    "linear_cross_entropy",
    "load_for_training",
    "load_source",
    "parameter_groups",
]
