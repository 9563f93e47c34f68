"""The run command on small models and data: results, summary, continuing, and every wrong input."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys

import pytest

from hyperofa_eval.cli import main
from hyperofa_eval.models import model_types


def run(*words: object, code: int = 0):
    assert main(["run", *map(str, words)]) == code


def fails(capsys, code: int, *words: object) -> str:
    run(*words, code=code)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("hyperofa-eval: error: ")]
    return line


def test_writes_a_result_per_language_and_a_summary(model_dir, data, tmp_path, capsys):
    out = tmp_path / "out"
    run(model_dir, "--tasks", "sr-t", "--data", data, "--out", out, "--json", "--device", "cpu")
    summary = json.loads((out / "summary.json").read_text())
    assert json.loads(capsys.readouterr().out) == summary
    task = summary["tasks"]["sr-t"]
    assert task["languages"] == ["tur", "ces", "swh", "cmn"]
    assert task["n_languages"] == 4
    assert "kat" in task["without_data"]
    assert "eng" not in task["without_data"]
    assert task["chance"] == pytest.approx(100 * 10 / 12)
    low, high = task["ci95"]
    assert low <= task["mean"] <= high
    result = json.loads((out / "sr-t/tur.seed0.json").read_text())
    assert result["value"] == task["rows"][0]["value"]
    hits = result["items"]["top10"]["num"]
    assert result["value"] == pytest.approx(100 * hits.count("1") / 12)
    ranks = [int(word) for word in result["details"]["ranks"].split()]
    assert hits == "".join("1" if rank < 10 else "0" for rank in ranks)
    assert result["details"]["block"] == 3  # two thirds of four blocks
    assert set(result["data"]) == {"tatoeba/tur-eng.tur", "tatoeba/tur-eng.eng"}


def test_a_language_beside_the_others_has_a_row_and_no_part_in_the_mean(model_dir, data, tmp_path, capsys):
    words = [model_dir, "--tasks", "sr-t", "--data", data, "--device", "cpu", "--json"]
    run(*words, "--out", tmp_path / "alone", "--languages", "tur,ces")
    alone = json.loads(capsys.readouterr().out)["tasks"]["sr-t"]
    run(*words, "--out", tmp_path / "beside", "--languages", "tur,ces", "--beside", "swh,eng")
    task = json.loads(capsys.readouterr().out)["tasks"]["sr-t"]
    assert [row["language"] for row in task["rows"]] == ["tur", "ces", "swh"]
    assert (task["mean"], task["ci95"], task["languages"]) == (alone["mean"], alone["ci95"], ["tur", "ces"])
    assert task["without_data"] == []
    line = fails(capsys, 2, *words, "--out", tmp_path / "no", "--languages", "tur", "--beside", "qqq")
    assert "unknown language 'qqq'" in line


def test_bits_per_character_are_printed_with_three_decimals(model_dir, data, tmp_path, capsys):
    folder = shutil.copytree(model_dir, tmp_path / "headed")
    run(
        folder, "--tasks", "lm,sr-t", "--languages", "tur", "--data", data, "--out", tmp_path / "out", "--device", "cpu"
    )
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "out/summary.json").read_text())["tasks"]
    assert f"{found['lm']['mean']:.3f}" in printed
    low, high = found["lm"]["ci95"]
    assert f"{low:.3f} – {high:.3f}" in printed
    assert f" {found['sr-t']['mean']:.1f} " in printed
    assert "at most 500 passages of a language, of at most 256 characters" in printed


def test_progress_bars_nest_on_a_terminal(model_dir, data, tmp_path):
    if shutil.which("script") is None:
        pytest.skip("needs the script command for a terminal")
    words = ["-m", "hyperofa_eval", "run", model_dir, "--tasks", "sr-t", "--data", data, "--out", tmp_path / "out"]
    line = shlex.join([sys.executable, *map(str, words), "--batch-size", "2", "--device", "cpu"])
    done = subprocess.run(["script", "-qec", line, "/dev/null"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "encoding" in done.stdout
    assert "sr-t" in done.stdout


def test_the_paper_protocol_is_named_and_has_the_papers_languages(model_dir, data, tmp_path, capsys):
    words = [model_dir, "--tasks", "sr-t", "--data", data, "--protocol", "paper", "--device", "cpu"]
    assert "has 4 blocks, so none is number 8" in fails(capsys, 2, *words, "--out", tmp_path / "deep")
    out = tmp_path / "out"
    run(*words, "--out", out, "--block", 3)
    task = json.loads((out / "summary.json").read_text())["tasks"]["sr-t"]
    assert task["protocol"] == "paper"
    assert task["settings"]["pooling"] == "mean-all"
    assert task["mean_read_from_text"] == pytest.approx(task["mean"])
    assert "kat" in task["without_data"]
    assert "jpn" not in task["without_data"]
    line = fails(capsys, 2, model_dir, "--tasks", "sr-t", "--data", data, "--out", out)
    assert "holds results of protocol 'paper'" in line


def test_what_a_killed_first_run_left_is_no_obstacle(model_dir, data, tmp_path):
    out = tmp_path / "out"
    (out / "sr-t").mkdir(parents=True)
    (out / "sr-t/.tur.seed0.json.x1y2z3").write_text('{"schema"')
    run(model_dir, "--tasks", "sr-t", "--data", data, "--out", out, "--languages", "tur", "--device", "cpu")
    assert (out / "summary.json").is_file()


def test_lm_needs_a_head_that_was_trained(model_dir, data, tmp_path, capsys):
    from safetensors.torch import load_file, save_file

    headless = tmp_path / "headless"
    shutil.copytree(model_dir, headless)
    weights = {
        key: value for key, value in load_file(headless / "model.safetensors").items() if key.startswith("bert.")
    }
    save_file(weights, headless / "model.safetensors", metadata={"format": "pt"})
    words = [headless, "--data", data, "--languages", "tur", "--device", "cpu", "--out", tmp_path / "out"]
    assert "its head or body would be random" in fails(capsys, 2, *words, "--tasks", "lm")
    run(*words, "--tasks", "sr-t")


def test_continues_and_notices_what_changed(model_dir, data, tmp_path):
    out = tmp_path / "out"
    words = [model_dir, "--tasks", "sr-t", "--data", data, "--out", out, "--languages", "tur,ces", "--device", "cpu"]
    run(*words)
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("sr-t/*")}
    first = (out / "sr-t/tur.seed0.json").read_text()
    (out / "sr-t/tur.seed0.json").unlink()
    run(*words)
    again = json.loads((out / "sr-t/tur.seed0.json").read_text())
    same = {"wall_s": 0, "prepare_s": 0}
    assert again | same == json.loads(first) | same
    assert (out / "sr-t/ces.seed0.json").stat().st_mtime_ns == before["ces.seed0.json"]
    path = data / "tatoeba/ces-eng.ces"
    path.write_text(path.read_text().replace("Dnes prší.", "Dnes sněží."))
    run(*words)
    assert (out / "sr-t/ces.seed0.json").stat().st_mtime_ns != before["ces.seed0.json"]


def test_laser_names_packed_files_and_all_blocks(model_dir, data, tmp_path):
    import lzma

    for suffix in ("tur", "eng"):
        old = data / f"tatoeba/tur-eng.{suffix}"
        (data / f"tatoeba/tatoeba.tur-eng.{suffix}.xz").write_bytes(lzma.compress(old.read_bytes()))
        old.unlink()
    out = tmp_path / "out"
    run(model_dir, "--tasks", "sr-t", "--data", data, "--out", out, "--languages", "tur_Latn", "--block", "all")
    result = json.loads((out / "sr-t/tur_Latn.seed0.json").read_text())
    assert result["data_language"] == "tur"
    assert list(result["details"]["blocks"]) == ["1", "2", "3", "4"]
    assert result["details"]["blocks"]["3"]["top10"] == result["value"]
    assert "tatoeba/tatoeba.tur-eng.tur.xz" in result["data"]
    single = tmp_path / "single"
    run(model_dir, "--tasks", "sr-t", "--data", data, "--out", single, "--languages", "tur", "--block", "2")
    other = json.loads((single / "sr-t/tur.seed0.json").read_text())
    assert other["values"]["top1"]["value"] == result["details"]["blocks"]["2"]["top1"]


def test_limit_marks_results_and_does_not_mix(model_dir, data, tmp_path, capsys):
    out = tmp_path / "out"
    words = [model_dir, "--tasks", "sr-t", "--data", data, "--out", out, "--languages", "tur"]
    run(*words, "--limit", 5)
    assert json.loads((out / "summary.json").read_text())["tasks"]["sr-t"]["limit"] == 5
    assert json.loads((out / "sr-t/tur.seed0.json").read_text())["n"] == 5
    assert "--limit 5" in fails(capsys, 2, *words)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--tasks", "sr-q"], 2, "unknown task 'sr-q'; did you mean 'sr-"),
        (["--tasks", ","], 2, "--tasks: names nothing"),
        (["--tasks", "sr-t", "--languages", "tur,xyz"], 2, "unknown language 'xyz'"),
        (
            ["--tasks", "sr-t", "--languages", "kat"],
            3,
            "no data for task sr-t in kat; looked for tatoeba/kat-eng.kat + ",
        ),
        (["--tasks", "sr-t", "--protocol", "papers"], 2, "did you mean 'paper'"),
        (["--tasks", "sr-t", "--block", "9"], 2, "has 4 blocks, so none is number 9"),
        (["--tasks", "sr-t", "--block", "0"], 2, "counted from 1"),
        (["--tasks", "sr-t", "--block", "top"], 2, "--block: 'top' is neither a number, auto nor all"),
        (["--tasks", "sr-t", "--pooling", "men"], 2, "did you mean 'mean'"),
        (["--tasks", "sr-t", "--direction", "en"], 2, "unknown direction"),
        (["--tasks", "sr-t", "--limit", "0"], 2, "--limit: 0 is not a number of 1 or more"),
        (["--tasks", "sr-t", "--seed", "one"], 2, "--seed: 'one' is not a list of whole numbers"),
        (["--tasks", "sr-t", "--seed", "-1"], 2, "--seed: -1 is not a number of 0 or more"),
        (["--tasks", "sr-t", "--languages", ","], 2, "--languages: names nothing"),
        (["--tasks", "sr-t", "--batch-size", "0"], 2, "--batch-size: 0 is not a number of 1 or more"),
        (["--tasks", "ner", "--learning-rate", "0"], 2, "the learning rate in (0, 1)"),
        (["--tasks", "ner", "--learning-rate", "nan"], 2, "the learning rate in (0, 1)"),
        (["--tasks", "ner", "--epochs", "0"], 2, "epochs and batch size must be above 0"),
    ],
)
def test_wrong_words_give_one_line_and_leave_nothing(model_dir, data, tmp_path, capsys, words, code, says):
    out = tmp_path / "out"
    assert says in fails(capsys, code, model_dir, "--data", data, "--out", out, "--device", "cpu", *words)
    assert not out.exists()


def test_missing_model_and_data(model_dir, data, tmp_path, capsys):
    out = tmp_path / "out"
    assert "no such data folder" in fails(
        capsys, 3, model_dir, "--tasks", "sr-t", "--data", tmp_path / "no", "--out", out
    )
    line = fails(capsys, 3, tmp_path / "nothing", "--tasks", "sr-t", "--data", data, "--out", out)
    assert "no such model directory" in line
    assert "no config.json" in fails(capsys, 3, data, "--tasks", "sr-t", "--data", data, "--out", out)
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    assert "something else" in fails(capsys, 2, model_dir, "--tasks", "sr-t", "--data", data, "--out", full)


def test_faulty_pairs_name_file_and_line(model_dir, data, tmp_path, capsys):
    words = [model_dir, "--tasks", "sr-t", "--data", data, "--out", tmp_path / "out", "--languages", "tur"]
    path = data / "tatoeba/tur-eng.tur"
    good = path.read_text()
    path.write_text(good + "Fazladan bir satır.\n")
    line = fails(capsys, 2, *words)
    assert "tur-eng.eng: unaligned: 12 lines, but tur-eng.tur has 13" in line
    path.write_text(good.replace("O et yemez.", ""))
    assert "tur-eng.tur, line 10" in fails(capsys, 2, *words)
    path.write_bytes(good.encode() + b"\xff\n")
    assert "line 13: not UTF-8" in fails(capsys, 2, *words)
    path.write_text("")
    (data / "tatoeba/tur-eng.eng").write_text("")
    assert "empty" in fails(capsys, 2, *words)


def test_nan_weights_are_named(model_dir, data, tmp_path, capsys):
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    weights = load_file(broken / "model.safetensors")
    weights["bert.embeddings.LayerNorm.weight"][0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    line = fails(capsys, 2, broken, "--tasks", "sr-t", "--data", data, "--out", tmp_path / "out", "--languages", "tur")
    assert "NaN" in line


def test_missing_body_weights_are_refused(model_dir, data, tmp_path, capsys):
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    weights = load_file(broken / "model.safetensors")
    weights.pop("bert.encoder.layer.1.output.dense.weight")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    line = fails(capsys, 2, broken, "--tasks", "sr-t", "--data", data, "--out", tmp_path / "out")
    assert "lacks 1 weights" in line


def test_help_loads_nothing_heavy():
    """What a help text costs is its imports: without these it takes a tenth of the half second that is promised."""
    code = (
        "import runpy, sys\n"
        "sys.argv = ['hyperofa-eval', '--help']\n"
        "try:\n    runpy.run_module('hyperofa_eval', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'transformers', 'numpy', 'rich', 'datasets', 'evaluate', 'accelerate'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: hyperofa-eval COMMAND" in done.stdout


def test_a_factorised_checkpoint_without_hyperofa_says_what_to_do(model_dir, tmp_path, monkeypatch, capsys, data):
    factorised = tmp_path / "factorised"
    shutil.copytree(model_dir, factorised)
    config = json.loads((factorised / "config.json").read_text())
    (factorised / "config.json").write_text(json.dumps(config | {"model_type": "hyperofa_unheard"}))
    monkeypatch.setattr(model_types, "entry_points", lambda group: [])
    line = fails(capsys, 2, factorised, "--tasks", "sr-t", "--data", data, "--out", tmp_path / "out")
    assert "needs the hyperofa package" in line
    assert "--dense" in line
