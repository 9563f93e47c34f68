"""Damaged models, tokenizers, vectors, corpora and tables under the commands: one line, its exit code, and nothing written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import made_up

from hyperofa import cli
from hyperofa.init.provenance import new_rows
from hyperofa.train.checkpoint.rundir import check_inputs
from hyperofa.train.config import TrainConfig
from hyperofa.train.loading import load_inputs
from hyperofa_eval.base.guard import run_guarded
from hyperofa_eval.cli import main as evaluate

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) * 2 // 3],
    "empty": lambda content: b"",
    "garbage": lambda content: b"\xff\x00garbage" * 20,
    "lfs": lambda content: LFS,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source model, parallel text, word vectors, a corpus, and the same text as Parquet and as Arrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    home = tmp_path_factory.mktemp("home")
    english = made_up.sentences()
    (home / "parallel").mkdir()
    for language in ("eng", "tur"):
        lines = [made_up.spelled(line, language) for line in english]
        (home / "parallel" / f"{language}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    made_up.write_source(home / "source")
    run(home, "vectors", "build", "--parallel", home / "parallel", "--dim", 8, "--out", home / "vectors")
    run(home, "corpus", "prepare", *corpus(home, home / "parallel" / "eng.txt"), "--out", home / "corpus")
    run(home, "init", *init(home, "mean"), "--out", home / "model")
    table = pa.table({"text": english})
    pq.write_table(table, home / "text.parquet")
    with pa.OSFile(str(home / "text.arrow"), "wb") as handle, pa.ipc.new_stream(handle, table.schema) as writer:
        writer.write_table(table)
    return home


def run(home: Path, *words: object) -> None:
    assert cli.main([str(word) for word in words]) == 0


def init(home: Path, method: str) -> list[object]:
    return ["--source", home / "source", "--tokenizer", home / "source", "--method", method]


def corpus(home: Path, text: Path) -> list[object]:
    return ["--tokenizer", home / "source", "--length", 16, "--text", f"eng={text}"]


COMMANDS: dict[str, tuple[str, Callable[[Path], list[object]]]] = {
    "init source": ("source/model.safetensors", lambda home: ["init", *init(home, "random")]),
    "init tokenizer": ("source/tokenizer.json", lambda home: ["init", *init(home, "random")]),
    "init config": ("source/config.json", lambda home: ["init", *init(home, "random")]),
    "init vectors": (
        "vectors/vectors.safetensors",
        lambda home: ["init", *init(home, "ridge"), "--vectors", home / "vectors"],
    ),
    "init words": ("vectors/words.txt", lambda home: ["init", *init(home, "ridge"), "--vectors", home / "vectors"]),
    "init vectors' meta": (
        "vectors/meta.json",
        lambda home: ["init", *init(home, "ridge"), "--vectors", home / "vectors"],
    ),
    "extend": (
        "source/tokenizer.json",
        lambda home: [
            *("tokenizer", "extend", "--source", home / "source", "--vocab-size", 200),
            *("--text", f"tur={home / 'parallel' / 'tur.txt'}"),
        ],
    ),
    "parquet": ("text.parquet", lambda home: ["corpus", "prepare", *corpus(home, home / "text.parquet")]),
    "arrow": ("text.arrow", lambda home: ["corpus", "prepare", *corpus(home, home / "text.arrow")]),
}


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    shutil.copytree(home, tmp_path / "home")
    return tmp_path / "home"


def damage_file(path: Path, damage: str) -> None:
    path.write_bytes(DAMAGE[damage](path.read_bytes()))


def the_line(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    return line


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", COMMANDS)
def test_one_line_and_nothing_written(name, damage, copy, capsys):
    file, words = COMMANDS[name]
    damage_file(copy / file, damage)
    capsys.readouterr()
    assert cli.main([str(word) for word in (*words(copy), "--out", copy / "out")]) in {2, 3}
    line = the_line(capsys)
    assert (
        damage != "lfs"
        or file.startswith("text")
        or f"{file}: a git-lfs pointer and not the file itself; git lfs pull" in line
    )
    assert not (copy / "out").exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "lfs"])
@pytest.mark.parametrize(
    "file",
    [
        *("corpus/tokens.safetensors", "corpus/data/eng.arrow", "corpus/corpus.json"),
        *("model/provenance.safetensors", "model/model.safetensors", "model/config.json"),
    ],
)
def test_what_training_loads(file, damage, copy, capsys):
    damage_file(copy / file, damage)
    places = {"model": str(copy / "model"), "corpus": copy / "corpus", "run": copy / "run"}
    config = TrainConfig(**places, steps=1, global_batch_size=8, phase="new_rows", phase_steps=1)

    def load() -> None:
        check_inputs(config)
        _, batches = load_inputs(config)
        batches.for_rank(0, 0, 1, 8)
        new_rows(config.model)

    assert run_guarded("hyperofa train", load) in {2, 3}
    assert the_line(capsys)


@pytest.mark.parametrize("damage", ["cut", "empty", "lfs"])
@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
def test_what_the_harness_loads(file, damage, copy, capsys):
    damage_file(copy / "model" / file, damage)
    (copy / "data" / "tatoeba").mkdir(parents=True)
    for language in ("eng", "tur"):
        shutil.copy(copy / "parallel" / f"{language}.txt", copy / "data" / "tatoeba" / f"tur-eng.{language}")
    words = ["run", copy / "model", "--tasks", "sr-t", "--data", copy / "data", "--languages", "tur", "--device", "cpu"]
    code = evaluate([str(word) for word in (*words, "--out", copy / "out")])
    if code == 0:
        assert file == "tokenizer_config.json"  # transformers can do without
        return
    assert code in {2, 3}
    assert the_line(capsys)
    assert not (copy / "out").exists()
