"""Evaluation in training: with the settings that are given, refused early where it cannot run, never the end of a run."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.made_up import sentences, spelled, write_source

pytest.importorskip("hyperofa_eval")

from hyperofa.errors import DataMissingError, InputError
from hyperofa.train.config import Evaluation, TrainConfig
from hyperofa.train.evaluation import Evaluator, check_evaluation, tasks_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and pairs of a language that no table lists."""
    folder = tmp_path_factory.mktemp("world")
    write_source(folder / "model")
    lines = sentences()[:20]
    for language in ("lij", "vec"):
        for side, words in ((language, [spelled(line, "swh") for line in lines]), ("eng", lines)):
            path = folder / "data" / "tatoeba" / f"{language}-eng.{side}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in words), encoding="utf-8")
    return folder


def config_of(world: Path, run: Path, **evaluation: Any) -> TrainConfig:
    wanted = Evaluation(data=world / "data", **{"languages": ("lij",), **evaluation})
    return TrainConfig(
        model=str(world / "model"),
        corpus=world / "corpus",
        run=run,
        steps=4,
        global_batch_size=8,
        eval_every=2,
        evaluation=wanted,
    )


def score(config: TrainConfig, replayed: tuple[str, ...] = ()) -> Any:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(config.model).train()
    engine = SimpleNamespace(
        module=SimpleNamespace(pretrained=model, plain_state=dict),
        zero_stage=1,
        device="cpu",
        on_main=lambda name, work: work(),
    )
    stop = SimpleNamespace(interrupts=contextlib.nullcontext)
    found = Evaluator(config, engine, stop, replayed).run(2)  # type: ignore[arg-type]
    assert model.training
    assert next(model.parameters()).dtype.itemsize == 4
    return found


def test_the_settings_reach_the_tasks() -> None:
    (task,) = tasks_of(Evaluation(block=2, pooling="cls", csls=True, epochs=3))
    assert (task.block, task.pooling, task.csls) == (2, "cls", True)
    (task,) = tasks_of(Evaluation(protocol="paper"))
    assert (task.block, task.pooling) == (8, "mean-all")


def test_a_language_outside_the_table_is_scored_and_one_without_data_left_out(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of(world, tmp_path, languages=("lij", "xyz"), limit=10, dtype="bfloat16", pooling="cls")
    check_evaluation(config)
    assert "no test data for task sr-t in xyz, not scored" in caplog.text
    found = score(config)["sr-t"]
    assert (found["n_languages"], found["limit"], found["protocol"]) == (1, 10, "default")
    results = list((tmp_path / "evaluation").rglob("*.json"))
    assert any('"pooling": "cls"' in path.read_text() for path in results)


def test_replayed_languages_are_scored_beside_the_others_where_they_have_data(world: Path, tmp_path: Path) -> None:
    config = config_of(world, tmp_path, limit=10)
    alone = score(config)["sr-t"]
    assert "beside" not in alone
    found = score(config, ("vec", "eng", "xyz"))["sr-t"]
    assert {name: value for name, value in found.items() if name != "beside"} == alone
    assert set(found["beside"]) == {"vec"}
    assert set(found["beside"]["vec"]) == {"value", "ci95"}
    assert "beside" not in score(config_of(world, tmp_path / "both", languages=("lij", "vec")), ("vec",))["sr-t"]


def test_a_step_is_scored_again_after_its_limit_or_protocol_changed(world: Path, tmp_path: Path) -> None:
    first = score(config_of(world, tmp_path, limit=10))
    (kept,) = (tmp_path / "evaluation").rglob("*.seed*.json")
    written = kept.stat().st_mtime_ns
    assert score(config_of(world, tmp_path, limit=10)) == first
    assert kept.stat().st_mtime_ns == written
    for changes in ({"limit": 12}, {"limit": 12, "protocol": "paper", "block": 2}, {}):
        found = score(config_of(world, tmp_path, **changes))["sr-t"]
        assert (found["limit"], found["protocol"]) == (changes.get("limit"), changes.get("protocol", "default"))


def test_an_evaluation_that_cannot_run_is_refused_before_training(world: Path, tmp_path: Path) -> None:
    for wrong, kind, words in (
        ({"languages": ()}, DataMissingError, "no test data for task sr-t in any language"),
        ({"tasks": ("srt",)}, InputError, "unknown task 'srt'"),
        ({"pooling": "maen"}, InputError, "unknown pooling 'maen'"),
        ({"protocol": "papre"}, InputError, "unknown protocol 'papre'"),
    ):
        with pytest.raises(kind, match=words):
            check_evaluation(config_of(world, tmp_path, **wrong))


def test_a_faulty_test_set_does_not_end_training(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = config_of(world, tmp_path)
    (world / "data" / "tatoeba" / "lij-eng.eng").write_text("one line too few\n")
    with caplog.at_level(logging.ERROR):
        assert score(config) == {}
    assert "evaluation after step 2 left out" in caplog.text


def test_what_a_library_raises_does_not_end_training_and_a_bug_does(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenizers import Tokenizer, models

    from hyperofa_eval import api

    config = config_of(world, tmp_path)
    unable = Tokenizer(models.WordPiece({"a": 0}, unk_token="[UNK]"))
    monkeypatch.setattr(api, "run_tasks", lambda *_, **__: unable.encode("b"))
    with caplog.at_level(logging.ERROR):
        assert score(config) == {}
    assert "evaluation after step 2 left out: tokenizers failed (WordPiece error" in caplog.text
    monkeypatch.setattr(api, "run_tasks", lambda *_, **__: {}["tasks"])
    with pytest.raises(KeyError):
        score(config)
