from __future__ import annotations

import json
from pathlib import Path

import pytest

from hyperofa.errors import HyperofaError, InputError
from hyperofa.train.metrics import MetricsWriter, flatten, read_metrics


def test_floats_keep_every_digit(tmp_path):
    writer = MetricsWriter(tmp_path / "m.jsonl")
    value = 0.1 + 0.2
    writer.write({"step": 1, "loss": value})
    writer.close()
    assert read_metrics(tmp_path / "m.jsonl")[0]["loss"].hex() == value.hex()


def test_resume_cuts_back_and_drops_a_torn_line(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps({"step": step, "loss": 1.0}) + "\n" for step in range(1, 7)) + '{"step": 7, "lo')
    writer = MetricsWriter(path, resume_step=4)
    writer.write({"step": 5, "loss": 2.0})
    writer.close()
    assert [(row["step"], row["loss"]) for row in read_metrics(path)][3:] == [(4, 1.0), (5, 2.0)]


@pytest.mark.parametrize("bad", ["nonsense", '{"loss": 1}', "[1]", '{"step": "x"}'])
def test_a_bad_line_is_named(tmp_path, bad):
    path = tmp_path / "m.jsonl"
    path.write_text(f'{{"step": 1}}\n{bad}\n{{"step": 3}}\n')
    with pytest.raises(InputError, match="line 2"):
        read_metrics(path)


def test_trackers_get_numbers_only():
    row = {"step": 3, "loss": 2, "gradient_norm": None, "loss_by_language": {"swh_Latn": 1.5}, "evaluation": {}}
    assert flatten(row) == {"loss": 2.0, "loss_by_language/swh_Latn": 1.5}


def test_numbers_that_are_not_finite_are_left_out(tmp_path):
    writer = MetricsWriter(tmp_path / "m.jsonl")
    writer.write({"step": 1, "loss": float("nan"), "skipped": 1, "loss_by_language": {"a": float("inf"), "b": 2.0}})
    assert json.loads((tmp_path / "m.jsonl").read_text()) == {"step": 1, "skipped": 1, "loss_by_language": {"b": 2.0}}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_names_what_a_row_needs(tmp_path):
    writer = MetricsWriter(tmp_path / "m.jsonl")
    writer._handle.close()
    writer._handle = Path("/dev/full").open("a", encoding="utf-8")  # noqa: SIM115
    with pytest.raises(
        HyperofaError, match=r"m\.jsonl: cannot write the row of step 7, which needs 2\.0 kB \(No space"
    ):
        writer.write({"step": 7, "text": "x" * 1970})
