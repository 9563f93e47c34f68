"""What a run shows while it trains: loss per language, evaluation by the harness, trackers."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("stage", [3, pytest.param(2, marks=pytest.mark.slow)])
def test_evaluation_trackers_and_loss_by_language(trainer, straight, tmp_path, stage):
    pytest.importorskip("hyperofa_eval")
    pytest.importorskip("tensorboard")
    data = tmp_path / "data"
    (data / "tatoeba").mkdir(parents=True)
    pairs = [(f"mtoto anasoma kitabu {i}", f"the child reads book {i}") for i in range(12)]
    for name, side in (("swh", 0), ("eng", 1)):
        text = "".join(f"{pair[side]}\n" for pair in pairs)
        (data / "tatoeba" / f"swh-eng.{name}").write_text(text)
    settings = {"eval_every": 20, "evaluation": {"data": str(data), "tasks": ["sr-t"], "languages": ["swh"]}}
    run = trainer(zero_stage=stage).train("watched", trackers=["tensorboard"], **settings)

    rows = run.rows()
    scored = {row["step"]: row["evaluation"]["sr-t"] for row in rows if "evaluation" in row}
    assert sorted(scored) == [20, 40]
    assert all(0 <= entry["mean"] <= 100 and entry["n_languages"] == 1 for entry in scored.values())
    assert "step 20: sr-t" in " ".join(run.output.split())
    assert list(run.run.rglob("events.out.tfevents.*"))
    names = set().union(*(row["loss_by_language"] for row in rows))
    assert names == {"swh_Latn", "ell_Grek", "kab_Latn"}
    assert run.losses() == straight("encoder", stage).losses()
