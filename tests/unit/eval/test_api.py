"""The harness from Python: a model in memory, a user's own model, task and language."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from hyperofa_eval import evaluate, runner
from hyperofa_eval.base.errors import DataMissingError, EvalError, InputError
from hyperofa_eval.cli import main
from hyperofa_eval.tasks import Retrieval, add_task


def test_a_model_in_training_is_scored_and_left_as_it_was(bert, tokenizer, data, tmp_path):
    bert.train()
    state = torch.get_rng_state()
    summary = evaluate(bert, ["sr-t", "lm"], data, tokenizer=tokenizer, languages=["tur", "swh"], name="step 100")
    assert bert.training
    assert torch.equal(state, torch.get_rng_state())
    assert summary["model"]["name"] == "step 100"
    assert summary["tasks"]["sr-t"]["n_languages"] == 2
    assert summary["tasks"]["lm"]["unit"] == "bits per character"
    json.dumps(summary)
    again = evaluate(bert, ["sr-t"], data, tokenizer=tokenizer, languages=["tur", "swh"], out=tmp_path / "out")
    assert again["tasks"]["sr-t"]["mean"] == summary["tasks"]["sr-t"]["mean"]
    assert (tmp_path / "out/sr-t/tur.seed0.json").is_file()


def test_a_trained_model_is_not_answered_by_old_results(bert, tokenizer, data, tmp_path):
    out = tmp_path / "out"
    evaluate(bert, ["sr-t"], data, tokenizer=tokenizer, languages=["tur"], out=out)
    first = json.loads((out / "sr-t/tur.seed0.json").read_text())
    with torch.no_grad():
        for parameter in bert.bert.encoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    evaluate(bert, ["sr-t"], data, tokenizer=tokenizer, languages=["tur"], out=out)
    second = json.loads((out / "sr-t/tur.seed0.json").read_text())
    assert first["model"]["sha256"] != second["model"]["sha256"]
    assert first["details"]["ranks"] != second["details"]["ranks"]


class Letters:
    """A model that is no transformer: counts of letters."""

    def __init__(self):
        self.identity = {"name": "letters", "sha256": "1", "tokenizer_sha256": "1"}

    def encode(self, texts, settings):
        return np.array([[text.lower().count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts], np.float32)

    def fine_tune(self, train, dev, settings, seed):
        return lambda sentences: [["NOUN"] * len(sentence.tokens) for sentence in sentences]


def test_any_object_with_the_members_that_a_task_needs_is_a_model(data):
    model = Letters()
    summary = evaluate(model, ["sr-t", "pos"], data, languages=["eng", "tur", "cmn"])
    assert summary["tasks"]["sr-t"]["languages"] == ["tur", "cmn"]
    accuracy = summary["tasks"]["pos"]["rows"][1]["value"]
    assert accuracy == pytest.approx(100 * 4 / 19)  # köpek, kedi, balık, kitabı
    assert summary["tasks"]["pos"]["chance"] is not None


def test_a_model_that_lacks_what_a_task_needs_is_refused_in_one_line(data):
    with pytest.raises(InputError, match="letters: the task lm needs a model with head and text_losses"):
        evaluate(Letters(), ["sr-t", "lm"], data, languages=["tur"])
    with pytest.raises(InputError, match="the task sr-t needs a model with blocks and encode_blocks"):
        evaluate(Letters(), [Retrieval("sr-t", "tatoeba", block="all")], data, languages=["tur"])
    with pytest.raises(InputError, match="object: the task sr-t needs a model with encode and identity"):
        evaluate(object(), ["sr-t"], data, languages=["tur"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"tasks": ["sr-x"]}, "unknown task 'sr-x'; did you mean 'sr-t'?"),
        ({"tasks": "sr-t"}, r"write \['sr-t'\]"),
        ({"tasks": []}, "no task named"),
        ({"protocol": "papr"}, "unknown protocol 'papr'; did you mean 'paper'?"),
        ({"languages": ["tru"]}, "unknown language 'tru'; did you mean 'tur'?"),
        ({"limit": 0}, "limit: 0 is not a number of 1 or more"),
        ({"batch_size": 0}, "batch_size: 0 is not a number of 1 or more"),
        ({"dtype": "float8"}, "dtype: Input should be 'float32', 'bfloat16' or 'float16'"),
        ({"device": "cuda:99"}, "cannot be used"),
        ({"tokenizer": "any"}, "brings its own tokenizer"),
        ({"languages": "tur"}, r"write \['tur'\]"),
        ({"data": None}, "data: None is no folder"),
        ({"seeds": []}, "seeds: there is none"),
    ],
)
def test_what_is_wrong_with_the_words_is_one_line(model_dir, data, given, says):
    with pytest.raises(InputError, match=says) as caught:
        evaluate(model_dir, **{"tasks": ["sr-t"], "data": data, **given})
    assert "\n" not in str(caught.value)


def test_tasks_and_languages_may_come_one_by_one(model_dir, data):
    found = evaluate(model_dir, (name for name in ["sr-t", "sr-b"]), data, languages=(code for code in ["swh", "tur"]))
    assert found["tasks"] == evaluate(model_dir, ["sr-t", "sr-b"], data, languages=["swh", "tur"])["tasks"]
    assert set(found["tasks"]) == {"sr-t", "sr-b"}


def test_what_is_not_there_is_missing_data(model_dir, data, tmp_path):
    for words in ((tmp_path / "model", data), (model_dir, tmp_path / "no-data")):
        with pytest.raises(DataMissingError):
            evaluate(words[0], ["sr-t"], words[1])


def test_a_model_in_memory_needs_its_tokenizer_and_keeps_its_device(bert, tokenizer, data):
    with pytest.raises(InputError, match="needs its tokenizer; give tokenizer="):
        evaluate(bert, ["sr-t"], data)
    with pytest.raises(InputError, match="keeps its device"):
        evaluate(bert, ["sr-t"], data, tokenizer=tokenizer, device="cpu")


def test_an_error_of_the_system_is_the_commands_line(model_dir, data, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x.json"))

    monkeypatch.setattr(runner, "write_result", full)
    with pytest.raises(EvalError, match=r"x\.json: No space left on device; make room") as caught:
        evaluate(model_dir, ["sr-t"], data, languages=["tur"], out=tmp_path / "out")
    assert isinstance(caught.value.__cause__, OSError)


def test_the_command_and_the_call_give_the_same_summary(model_dir, data, tmp_path):
    words = ["--tasks", "sr-t,pos,lm", "--data", data, "--out", tmp_path / "command", "--device", "cpu"]
    assert main([str(word) for word in ["run", model_dir, *words]]) == 0
    left = json.loads((tmp_path / "command/summary.json").read_text())
    right = evaluate(str(model_dir), tasks=["sr-t", "pos", "lm"], data=str(data), device="cpu")
    for one in (left, right):
        del one["wall_s"]
    assert left == json.loads(json.dumps(right))


PROCESS = """
import json, logging, os, signal, sys, threading, warnings
import datasets, evaluate, seqeval, torch, transformers
import numpy as np
import hyperofa_eval
from hyperofa_eval.base import cpu


def state():
    loggers = {name: logging.getLogger(name) for name in ["", *logging.root.manager.loggerDict]}
    return {
        "environment": dict(os.environ),
        "loggers": {
            name: (at.level, at.propagate, at.disabled, [*map(id, at.handlers)], [*map(id, at.filters)])
            for name, at in loggers.items()
            if at.level or at.handlers or at.filters or not at.propagate or at.disabled
        },
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "products": (torch.backends.mkldnn.matmul.fp32_precision, torch.get_float32_matmul_precision()),
        "defaults": (str(torch.get_default_dtype()), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()),
        "random": (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()),
        "warnings": [*map(str, warnings.filters)],
        "transformers": (transformers.logging.get_verbosity(), transformers.utils.logging.is_progress_bar_enabled()),
        "datasets": (datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()),
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)],
        "streams": (id(sys.stdout), id(sys.stderr)),
    }


def differing(a, b):
    return {k: [a.get(k), b.get(k)] for k in a.keys() | b.keys() if a.get(k) != b.get(k)} if isinstance(a, dict) else [a, b]


def never():
    raise AssertionError("the allocator is the process's, and cannot be set back")


cpu.keep_freed_memory = never
made = []  # what is set for a while, though the machine be one where nothing is
cpu.multiply_with_onednn = lambda: made.append(1) or setattr(torch.backends.mkldnn.matmul, "fp32_precision", "ieee") or True
model, data = sys.argv[1:]
before = state()
found = hyperofa_eval.evaluate(model, tasks=["sr-t", "pos", "ner", "lm"], data=data, limit=3, device="cpu")
after = state()
assert set(found["tasks"]) == {"sr-t", "pos", "ner", "lm"} and made
print(json.dumps({name: differing(before[name], after[name]) for name in before if before[name] != after[name]}))
"""


def test_the_process_is_afterwards_as_it_was(model_dir, data):
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, str(model_dir), str(data)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}
    assert len(done.stdout.splitlines()) == 1


def test_the_package_is_imported_at_once():
    code = (
        "import sys, hyperofa_eval\n"
        "heavy = {'torch', 'transformers', 'numpy', 'rich', 'datasets', 'evaluate', 'accelerate'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    import hyperofa_eval

    with pytest.raises(AttributeError, match="no attribute 'evalaute'"):
        _ = hyperofa_eval.evalaute


def test_a_task_that_lacks_a_member_is_refused_where_it_is_added():
    class Half:
        name = "half"

    with pytest.raises(InputError, match=r"task half: lacks metric, summary, .*; see hyperofa_eval\.tasks\.Task"):
        add_task(Half())


EXTENSION = '''
"""A task of one's own: share of lines whose first letter is upper case; and a language."""
from dataclasses import dataclass
from typing import ClassVar

from hyperofa_eval.languages import Language, add_language
from hyperofa_eval.scoring.statistics import hits
from hyperofa_eval.tasks import Outcome, Retrieval, add_task


@dataclass(frozen=True)
class Upper:
    name: str = "upper"
    metric: str = "share"
    summary: ClassVar[str] = "lines that start with an upper-case letter"
    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = "percent"
    seeded: ClassVar[bool] = False
    together: ClassVar[bool] = True

    def has(self, data, language):
        return data.has("text", language)

    def score(self, prepared, data, language, seed, limit):
        lines, files = data.text("text", language)
        return Outcome({"share": hits([line[0].isupper() for line in lines[:limit]])}, {"share": 50.0}, files)


add_task(Upper())
add_task(Retrieval("sr-news", "news", direction="both"))
add_language(Language("lij", "Latn", "Ligurian", "Indo-European", "low", "lij"))
'''


def test_a_task_and_a_language_come_from_one_file(model_dir, data, tmp_path, monkeypatch, capsys):
    from hyperofa_eval import languages
    from hyperofa_eval.tasks import registry as tasks

    monkeypatch.setattr(tasks, "_ADDED", {})
    monkeypatch.setattr(languages, "_ADDED", {})
    extension = tmp_path / "mine.py"
    extension.write_text(EXTENSION)
    (data / "text/lij.txt").write_text("O gatto o dorme in sciâ töa.\nancheu ciêuve.\n")
    out = tmp_path / "out"
    (data / "news").mkdir()
    (data / "news/lij-eng.lij").write_text("O gatto o dorme.\nAncheu ciêuve.\n")
    (data / "news/lij-eng.eng").write_text("The cat sleeps.\nIt is raining today.\n")
    words = ["run", model_dir, "--tasks", "upper,sr-news", "--data", data, "--out", out, "--languages", "lij,tur"]
    assert main([str(word) for word in [*words, "--with", extension, "--device", "cpu"]]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert [row["value"] for row in summary["tasks"]["upper"]["rows"]] == [50.0, 100.0]
    assert summary["tasks"]["sr-news"]["languages"] == ["lij"]
    assert main(["list", "--with", str(extension)]) == 0
    assert "Ligurian" in capsys.readouterr().out
    extension.write_text("raise ValueError('mine')")
    assert main([str(word) for word in [*words, "--with", extension]]) == 2
    assert "ValueError: mine" in capsys.readouterr().err


def test_the_extension_shown_in_the_docs_runs(tmp_path, monkeypatch):
    from pathlib import Path

    from hyperofa_eval import languages
    from hyperofa_eval.tasks import extensions
    from hyperofa_eval.tasks import registry as tasks

    monkeypatch.setattr(tasks, "_ADDED", {})
    monkeypatch.setattr(languages, "_ADDED", {})
    text = (Path(__file__).parents[3] / "docs/evaluation-extensions.md").read_text()
    (tmp_path / "mine.py").write_text(text.rpartition("```python\n")[2].partition("```")[0])
    extensions.load([tmp_path / "mine.py"])
    assert tasks.tasks("default")["sr-news"].direction == "both"
    assert languages.languages()["lij"].name == "Ligurian"


def test_aliases_are_off_unless_asked(model_dir, data, tmp_path):
    for suffix in ("cmn", "eng"):
        (data / f"tatoeba/cmn-eng.{suffix}").rename(data / f"tatoeba/zho-eng.{suffix.replace('cmn', 'zho')}")
    words = ["run", model_dir, "--tasks", "sr-t", "--data", data, "--languages", "cmn", "--device", "cpu"]
    assert main([str(word) for word in [*words, "--out", tmp_path / "no"]]) == 3
    assert main([str(word) for word in [*words, "--out", tmp_path / "yes", "--aliases"]]) == 0
    result = json.loads((tmp_path / "yes/sr-t/cmn.seed0.json").read_text())
    assert "tatoeba/zho-eng.zho" in result["data"]
