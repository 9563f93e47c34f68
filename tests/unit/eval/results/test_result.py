"""Stored results: which still hold, and which are refused."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch

from hyperofa_eval.api import evaluate
from hyperofa_eval.cli import main
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.models.loading import load_model, wrap
from hyperofa_eval.results.result import key_of, still_holds
from hyperofa_eval.tasks.language_modelling import LanguageModelling
from hyperofa_eval.tasks.protocols import default


def read(path):
    return json.loads(path.read_text())


def scored(model, tokenizer, tasks, data, out, languages=("tur", "swh")):
    return evaluate(model, tasks, data, tokenizer=tokenizer, languages=list(languages), out=out)


def change_body(model):
    with torch.no_grad():
        for parameter in model.bert.encoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))


def test_a_changed_head_is_scored_again_by_lm_and_by_lm_alone(bert, tokenizer, data, tmp_path):
    out = tmp_path / "out"
    first = scored(bert, tokenizer, ["sr-t", "lm"], data, out)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*.json")}
    with torch.no_grad():
        bert.cls.predictions.bias.add_(torch.linspace(-3, 3, len(tokenizer)))
    second = scored(bert, tokenizer, ["sr-t", "lm"], data, out)
    assert second["model"]["sha256"] == first["model"]["sha256"]
    assert second["model"]["head_sha256"] != first["model"]["head_sha256"]
    assert abs(second["tasks"]["lm"]["mean"] - first["tasks"]["lm"]["mean"]) > 0.01
    changed = {path.parent.name for path, stamp in before.items() if path.stat().st_mtime_ns != stamp}
    assert changed == {"lm"}


def test_the_heads_hash_is_that_of_its_weights(bert, tokenizer, tmp_path):
    bert.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    first, second = (load_model(str(tmp_path), head=True).identity for _ in range(2))
    assert first == second
    assert "head_sha256" not in load_model(str(tmp_path)).identity
    with torch.no_grad():
        bert.cls.predictions.transform.dense.weight[0, 0] += 1e-3
    bert.save_pretrained(tmp_path)
    third = load_model(str(tmp_path), head=True).identity
    assert third["sha256"] == first["sha256"]
    assert third["head_sha256"] != first["head_sha256"]


def test_a_summary_forgets_an_lm_of_another_head(bert, tokenizer, data, tmp_path):
    out = tmp_path / "out"
    scored(bert, tokenizer, ["lm"], data, out)
    assert set(scored(bert, tokenizer, ["sr-t"], data, out)["tasks"]) == {"sr-t", "lm"}
    with torch.no_grad():
        bert.cls.predictions.bias.add_(1.0)
    assert set(scored(bert, tokenizer, ["sr-t"], data, out)["tasks"]) == {"sr-t"}


def stopped(monkeypatch, after):
    """Let the run die after so many results."""
    from hyperofa_eval import runner

    wrote, real = [], runner.write_result

    def write(out, result):
        if len(wrote) == after:
            raise KeyboardInterrupt
        wrote.append(result)
        real(out, result)

    monkeypatch.setattr(runner, "write_result", write)


def test_a_run_that_stops_midway_leaves_no_summary_of_two_models(bert, tokenizer, data, tmp_path, monkeypatch, capsys):
    out, other = tmp_path / "out", tmp_path / "other"
    scored(bert, tokenizer, ["sr-t"], data, out)
    scored(bert, tokenizer, ["sr-t"], data, other)
    old = (out / "summary.json").read_text()
    change_body(bert)
    with monkeypatch.context() as patch:
        stopped(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            scored(bert, tokenizer, ["sr-t"], data, out)
    assert main(["compare", str(other), str(out)]) == 3
    assert "no summary.json" in capsys.readouterr().err
    (out / "summary.json").write_text(old)  # as an earlier version of the harness left it
    assert main(["compare", str(other), str(out)]) == 2
    assert "tur.seed0.json: another model than the summary's" in capsys.readouterr().err
    scored(bert, tokenizer, ["sr-t"], data, out)
    assert main(["compare", str(other), str(out)]) == 0


def test_a_run_that_only_adds_keeps_the_summary_until_it_is_done(bert, tokenizer, data, tmp_path, monkeypatch):
    out = tmp_path / "out"
    scored(bert, tokenizer, ["sr-t"], data, out)
    old = (out / "summary.json").read_text()
    stopped(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        scored(bert, tokenizer, ["lm"], data, out)
    assert (out / "summary.json").read_text() == old


def test_a_run_that_stops_midway_in_one_task_leaves_the_others_in_the_summary(
    bert, tokenizer, data, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    scored(bert, tokenizer, ["sr-t", "lm"], data, out)
    other = [LanguageModelling(share=0.3)]
    with monkeypatch.context() as patch:
        stopped(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            scored(bert, tokenizer, other, data, out)
    assert set(read(out / "summary.json")["tasks"]) == {"sr-t"}
    assert set(scored(bert, tokenizer, other, data, out)["tasks"]) == {"sr-t", "lm"}


def test_two_runs_of_different_tasks_into_one_folder_are_both_in_the_summary(
    bert, tokenizer, data, tmp_path, monkeypatch
):
    from hyperofa_eval import runner

    out, real = tmp_path / "out", runner.summarise_task

    def meanwhile(*words):
        monkeypatch.setattr(runner, "summarise_task", real)
        scored(bert, tokenizer, ["lm"], data, out)
        return real(*words)

    monkeypatch.setattr(runner, "summarise_task", meanwhile)
    scored(bert, tokenizer, ["sr-t"], data, out)
    assert set(read(out / "summary.json")["tasks"]) == {"sr-t", "lm"}


@pytest.mark.parametrize("field", ["model", "settings", "value"])
def test_compare_refuses_results_that_are_not_the_summarys(bert, tokenizer, data, tmp_path, capsys, field):
    out = tmp_path / "out"
    scored(bert, tokenizer, ["sr-t"], data, out)
    path = out / "sr-t/swh.seed0.json"
    result = read(path)
    if field == "model":
        result["model"]["tokenizer_sha256"] = "0"
    elif field == "settings":
        result["settings"]["csls"] = True
    else:
        result["values"]["top10"]["value"] -= 1
    path.write_text(json.dumps(result))
    assert main(["compare", str(out), str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "sr-t" in line
    assert "summary" in line


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"model": {}, "tasks": []}',
        '{"model": {}, "tasks": {"sr-t": {}}}',
        '{"model": {}, "tasks": {"sr-t": {"seeds": [0], "languages": [], "rows": [null]}}}',
        '{"model": {}, "tasks": {"sr-t": {"seeds": [0], "languages": [], "rows": [{"language": "tur", "value": null}]}}}',
        "[" * 100_000,
        "{",
    ],
)
def test_a_summary_that_is_none_is_refused_before_the_work(bert, tokenizer, model_dir, data, tmp_path, capsys, text):
    out = tmp_path / "out"
    scored(bert, tokenizer, ["sr-t"], data, out)
    (out / "summary.json").write_text(text)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*.json")}
    assert main(["compare", str(out), str(out)]) == 2
    assert main(["run", str(model_dir), "--tasks", "lm", "--data", str(data), "--out", str(out)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("summary.json" in line for line in lines)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*.json")} == before


def test_a_result_that_is_none_is_refused_with_its_path(bert, tokenizer, model_dir, data, tmp_path, capsys):
    out = tmp_path / "out"
    scored(bert, tokenizer, ["sr-t"], data, out)
    (out / "sr-t/tur.seed0.json").write_text('{"schema": 1}')
    words = ["run", str(model_dir), "--tasks", "sr-t", "--data", str(data), "--out", str(out)]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "tur.seed0.json: not a whole result (it lacks task); delete it" in line


def test_a_result_of_an_older_way_to_read_a_taggers_data_does_not_hold(monkeypatch):
    from hyperofa_eval.tasks.tagging import Tagging

    def keys():
        identity = {"sha256": "a", "tokenizer_sha256": "b"}
        given = {"protocol": "default", "language": "tur", "seed": 0, "limit": None}
        return {name: key_of(identity, default()[name], **given) for name in ("ner", "pos", "sr-t")}

    now = keys()
    monkeypatch.setattr(Tagging, "reading", 1)
    before = keys()
    assert [name for name in now if now[name] == before[name]] == ["sr-t"]


def prompted(bert, tokenizer, prompt, tasks, data, out):
    return evaluate(wrap(bert, tokenizer, "m", prompt=prompt), tasks, data, languages=["tur"], out=out)


@pytest.mark.parametrize(("before", "after"), [("", "the fish "), ("the fish ", ""), ("the fish ", "a house ")])
def test_a_result_of_another_prompt_of_the_models_own_does_not_hold(bert, tokenizer, data, tmp_path, before, after):
    out = tmp_path / "out"
    prompted(bert, tokenizer, before, ["sr-t"], data, out)
    found = prompted(bert, tokenizer, after, ["sr-t"], data, out)["tasks"]["sr-t"]
    assert read(out / "sr-t/tur.seed0.json")["model"].get("prompt", "") == after
    assert found == prompted(bert, tokenizer, after, ["sr-t"], data, tmp_path / "fresh")["tasks"]["sr-t"]


def test_the_models_own_prompt_counts_where_it_is_used_alone():
    def key(name, own, **options):
        identity = {"sha256": "a", "tokenizer_sha256": "b", **own}
        task = dataclasses.replace(default()[name], **options)
        return key_of(identity, task, protocol="default", language="tur", seed=0, limit=None)

    own = {"prompt": "query: "}
    assert key("sr-t", own) != key("sr-t", {})
    assert key("sr-t", {"prompt": ""}) == key("sr-t", {})
    assert key("sr-t", own, prompt="passage: ") == key("sr-t", {}, prompt="passage: ")
    assert key("pos", own) == key("pos", {})
    # as it was before prompts counted
    assert key("sr-t", {}) == "fda31ac181bb1b80d786fb17a6d350cbd803e2e059ef67bda65a08230c1cb0c9"


def test_a_summary_forgets_what_was_measured_with_another_prompt(bert, tokenizer, data, tmp_path):
    out = tmp_path / "out"
    prompted(bert, tokenizer, "", ["sr-t", "lm"], data, out)
    assert set(prompted(bert, tokenizer, "the fish ", ["lm"], data, out)["tasks"]) == {"lm"}


@pytest.mark.parametrize(
    ("task", "language", "others", "moved"),
    [
        ("sr-t", "tur", [], {f"tatoeba/tur-eng.{side}": f"tur-eng.{side}" for side in ("tur", "eng")}),
        ("sr-b", "swh", ["bible/eng.test.tsv"], {"bible/swh.test.tsv": "swh.test.tsv"}),
        ("sr-b", "swh", ["bible/swh.test.tsv"], {"bible/eng.test.tsv": "bible/eng_Latn.tsv"}),
        ("pos", "tur", ["pos/eng/train.tsv", "pos/eng/dev.tsv"], {"pos/tur/test.tsv": "pos/tur/test.conllu"}),
        ("pos", "tur", ["pos/tur/test.tsv", "pos/eng/dev.tsv"], {"pos/eng/train.tsv": "udpos/train-en.tsv"}),
        ("pos", "eng", ["pos/eng/test.tsv", "pos/eng/train.tsv"], {"pos/eng/dev.tsv": "udpos/en/dev.tsv"}),
        ("lm", "tur", [], {"text/tur.txt": "text/tur.txt.gz"}),
    ],
)
def test_a_result_holds_until_a_file_that_comes_before_its_own_appears(data, task, language, others, moved):
    for first, second in moved.items():
        (data / second).parent.mkdir(parents=True, exist_ok=True)
        (data / first).rename(data / second)
    files = DataFolder(data).hashes(*(data / name for name in [*others, *moved.values()]))
    result = {"key": "k", "data": files}
    assert still_holds(result, "k", default()[task], DataFolder(data), language)
    for first, second in moved.items():
        shutil.copy(data / second, data / first)
    assert not still_holds(result, "k", default()[task], DataFolder(data), language)


def test_a_file_that_comes_first_is_scored_in_the_next_run(bert, tokenizer, data, tmp_path):
    out = tmp_path / "out"
    text = (data / "text/tur.txt").read_text()
    (data / "tur.txt").write_text(text + text)
    (data / "text/tur.txt").unlink()
    scored(bert, tokenizer, ["lm"], data, out, ["tur"])
    twice = read(out / "lm/tur.seed0.json")["n"]
    (data / "text/tur.txt").write_text(text)
    scored(bert, tokenizer, ["lm"], data, out, ["tur"])
    assert read(out / "lm/tur.seed0.json")["n"] == twice / 2


def test_files_of_a_tasks_own_names_and_of_either_name_of_english_hold(data):
    (data / "own.bin").write_text("")
    files = DataFolder(data).hashes(data / "own.bin")
    assert still_holds({"key": "k", "data": files}, "k", default()["sr-t"], DataFolder(data), "tur")
    shutil.copytree(data / "pos/eng", data / "pos/eng_Latn")
    names = ("pos/eng_Latn/test.tsv", "pos/eng/train.tsv", "pos/eng/dev.tsv")
    files = DataFolder(data).hashes(*(data / name for name in names))
    assert still_holds({"key": "k", "data": files}, "k", default()["pos"], DataFolder(data), "eng_Latn")
