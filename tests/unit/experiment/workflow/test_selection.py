"""Which stages a run is about."""

from __future__ import annotations

from pathlib import Path

from support.plans import plan_of

from hyperofa.experiment.workflow.selection import select, stages_before


def test_only_takes_along_what_is_needed_and_from_trusts_what_is_before(matrix: Path) -> None:
    stages = plan_of(matrix).stages()
    chosen = select(stages, ["train/*-ours-*"])
    assert {name for name in chosen if name.startswith(("init", "train", "eval"))} == {
        "init-tiny-r8-ours-s0",
        "train-tiny-r8-ours-s0",
    }
    assert {"gather", "vectors", "tokenizer", "corpus"} <= chosen
    assert select(stages, ["report"]) == set()
    trusted = stages_before(stages, "train")
    assert "eval-tiny-r8-ours-s0-before" in trusted
    assert not any(name.startswith(("train", "compare")) for name in trusted)
