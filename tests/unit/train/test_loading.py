"""What a run trains: whether objective, model and corpus go together."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from hyperofa.errors import InputError
from hyperofa.train import loading
from hyperofa.train.loading import warn_of_objective

SENTENCES = SimpleNamespace(pooling="cls", normalised=True)


@pytest.mark.parametrize(
    ("modules", "new_head", "objective", "said"),
    [
        (True, True, "tokens", "this model was made for sentence vectors"),
        (True, False, "tokens", "this model was made for sentence vectors"),
        (False, True, "tokens", "this model's head over tokens is new"),
        (False, False, "tokens", None),
        (True, True, "sentence", None),
        (False, True, "sentence", None),
        (False, None, "sentence", "this model was made for a loss over tokens"),
        (False, False, "sentence", "this model was made for a loss over tokens"),
    ],
)
def test_an_objective_that_does_not_fit_the_source_is_said_in_one_line(
    tmp_path, caplog, modules, new_head, objective, said
):
    if modules:
        (tmp_path / "modules.json").write_text("[]")
    if new_head is not None:
        (tmp_path / "init.json").write_text(json.dumps({"head": {"is_new": new_head}}))
    warn_of_objective(str(tmp_path), objective)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == (said is not None)
    for line in lines:
        assert said in line
        assert "\n" not in line
        assert f"objective: {'sentence' if objective == 'tokens' else 'tokens'}" in line


def test_corpus_and_objective_must_be_of_one_kind(settings):
    packed = SimpleNamespace(targets=None)
    with_targets = SimpleNamespace(targets=SENTENCES, target_moments=(np.ones(4, dtype=np.float32), 2.5))
    assert loading._sentence_targets(settings(), packed) is None
    found = loading._sentence_targets(settings(objective="sentence"), with_targets)
    assert (found.pooling, found.normalised, found.mean.tolist(), found.variance) == ("cls", True, [1.0] * 4, 2.5)
    for objective, corpus, said in (
        ("sentence", packed, "objective is sentence, and the corpus is packed text"),
        ("tokens", with_targets, "the corpus holds sentences with target vectors"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            loading._sentence_targets(settings(objective=objective), corpus)
        assert "\n" not in str(caught.value)
