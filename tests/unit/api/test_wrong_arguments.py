"""Every public function with wrong arguments: one line of ours that names the argument or the file, and nothing written."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

import hyperofa
from hyperofa.errors import DataMissingError, HyperofaError, InputError


@pytest.fixture(scope="module")
def desk(rooms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rooms of an initialisation, with text, parallel text and a vector file beside them."""
    root = tmp_path_factory.mktemp("desk")
    for name in ("source", "target", "vectors"):
        (root / name).symlink_to(rooms / name)
    (root / "parallel").mkdir()
    for language in ("eng", "swh"):
        lines = [f"{language}{i % 7} word{i % 5} more{i % 3}" for i in range(60)]
        (root / f"parallel/{language}.txt").write_text("\n".join(lines))
    (root / "swh.txt").write_text("\n".join(f"serikali maji {i % 7} watu" for i in range(80)))
    (root / "words.vec").write_text("2 2\neng:a 1 2\neng:b 2 3\n")
    return root


def refusal(desk: Path, function: str, good: dict[str, object], wrong: dict[str, object]) -> HyperofaError:
    """The error of ``function`` with ``wrong`` in place of good arguments; a Path is looked for on the desk."""
    given = {name: desk / value if isinstance(value, Path) else value for name, value in (good | wrong).items()}
    before = sorted(desk.rglob("*"))
    with pytest.raises(HyperofaError) as caught:
        getattr(hyperofa, function)(**given)
    assert sorted(desk.rglob("*")) == before
    line = str(caught.value)
    assert "\n" not in line
    assert "--" not in line  # a caller has no command line
    return caught.value


MISSING, FILE, TEXT = Path("nowhere"), Path("swh.txt"), {"swh": "nowhere.txt"}
GOOD = {
    "initialise": {"source": Path("source"), "tokenizer": Path("target"), "vectors": Path("vectors")},
    "build_vectors": {"parallel": Path("parallel")},
    "import_vectors": {"file": Path("words.vec")},
    "load_vectors": {},
    "train_tokenizer": {"text": FILE, "vocab_size": 60},
    "extend_tokenizer": {"source": Path("target"), "text": FILE, "vocab_size": 900},
    "trim_tokenizer": {"source": Path("target"), "text": FILE},
    "prepare_corpus": {"tokenizer": Path("target"), "text": FILE, "out": Path("out")},
    "export_dense": {},
}


@pytest.mark.parametrize(
    ("function", "argument"),
    [
        *(("initialise", name) for name in ("source", "tokenizer", "vectors")),
        ("build_vectors", "parallel"),
        ("import_vectors", "file"),
        ("load_vectors", "folder"),
        ("train_tokenizer", "text"),
        ("extend_tokenizer", "source"),
        ("extend_tokenizer", "text"),
        ("trim_tokenizer", "source"),
        ("trim_tokenizer", "text"),
        ("prepare_corpus", "tokenizer"),
        ("prepare_corpus", "text"),
    ],
)
def test_what_is_not_there_is_named(desk, function, argument):
    missing = {argument: TEXT if argument == "text" else MISSING}
    error = refusal(desk, function, GOOD[function], missing)
    assert isinstance(error, DataMissingError)
    assert "nowhere" in str(error)


@pytest.mark.parametrize("function", [name for name in GOOD if name not in ("load_vectors", "export_dense")])
def test_unknown_keywords_are_named_and_the_near_one_offered(desk, function):
    near = {"initialise": "rank", "build_vectors": "dim", "import_vectors": "format", "trim_tokenizer": "min_count"}
    near = near.get(function, "cap")
    error = refusal(desk, function, GOOD[function], {f"{near}s": 3})
    assert f"'{near}s'; did you mean '{near}'" in str(error)


@pytest.mark.parametrize(
    ("function", "wrong"),
    [
        *(("initialise", {name: 5}) for name in ("source", "vectors", "text", "parallel", "work")),
        *(("initialise", {name: None}) for name in ("source", "tokenizer")),
        ("initialise", {"tokenizer": 5}),
        ("initialise", {"vectors": np.zeros((2, 2))}),
        ("initialise", {"text": {"swh": 5}}),
        ("initialise", {"text": {"Swahili": "swh.txt"}}),
        *(("initialise", {"rank": value}) for value in ("x", 1.5, True, 0)),
        *(("initialise", {name: "x"}) for name in ("refine", "factorization", "fold_case", "options", "verdict")),
        *(("initialise", {name: -1}) for name in ("seed", "held_out", "pad_to_multiple", "scale_split", "energy")),
        ("initialise", {"method": 3}),
        ("initialise", {"method": "ofaa"}),
        *(("initialise", {"refine": name}) for name in ("sentences", "distill")),
        ("initialise", {"parallel": Path("nowhere")}),
        *(("build_vectors", {"parallel": value}) for value in (5, None)),
        *(("build_vectors", {"dim": value}) for value in ("x", 0)),
        *(("build_vectors", {name: 5}) for name in ("out", "languages", "dtype", "smoothing")),
        ("build_vectors", {"languages": ["zzz"]}),
        *(("import_vectors", {name: 5}) for name in ("file", "out", "format", "separator", "languages")),
        ("import_vectors", {"format": "binari"}),
        *(("load_vectors", {"folder": value}) for value in (5, None)),
        *(
            ("train_tokenizer", {"text": value})
            for value in (5, None, {}, [], {"swh": 5}, {"Swahili": "swh.txt"}, "nowhere")
        ),
        *(("train_tokenizer", {"vocab_size": value}) for value in ("x", 0, 6, 12)),
        *(("train_tokenizer", {name: 5}) for name in ("out", "normalizer", "coverage")),
        *(("extend_tokenizer", {"text": value}) for value in (5, None, {}, [], {"swh": 5}, {"Swahili": "swh.txt"})),
        *(("extend_tokenizer", {"vocab_size": value}) for value in ("x", 0, 6)),
        *(("extend_tokenizer", {name: 5}) for name in ("out", "source_text", "coverage")),
        ("extend_tokenizer", {"keep_source_text": True}),
        *(("extend_tokenizer", {"min_count": value}) for value in ("x", 0, 1.5)),
        *(("trim_tokenizer", {"text": value}) for value in (5, None, {}, [], {"swh": 5}, {"Swahili": "swh.txt"})),
        *(("trim_tokenizer", {"min_count": value}) for value in ("x", 0, 1.5)),
        ("trim_tokenizer", {"out": 5}),
        *(("prepare_corpus", {"text": value}) for value in (5, None, {}, {"S w": "swh.txt"})),
        *(("prepare_corpus", {name: 0}) for name in ("out", "length", "processes", "tokenizer")),
        *(("export_dense", {"model": value}) for value in (5, None, "name")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(f"{k}={v}" for k, v in value.items()),
)
def test_values_of_a_wrong_type_or_range_are_named(desk, function, wrong):
    error = refusal(desk, function, GOOD[function], wrong)
    assert isinstance(error, InputError | DataMissingError)
    (name,) = wrong
    assert name in str(error)


@pytest.mark.parametrize(
    "function",
    ["build_vectors", "import_vectors", "train_tokenizer", "extend_tokenizer", "trim_tokenizer", "prepare_corpus"],
)
@pytest.mark.parametrize("out", [FILE, Path("parallel")])
def test_an_output_that_is_something_else_is_left_alone(desk, function, out):
    assert str(out) in str(refusal(desk, function, GOOD[function], {"out": out}))


def test_no_log_line_and_no_exit_stands_for_an_error(desk, caplog, capsys):
    with caplog.at_level(logging.ERROR):
        refusal(desk, "initialise", GOOD["initialise"], {"rank": 0})
    assert caplog.records == []
    assert capsys.readouterr().err == ""


def test_the_functions_are_listed_and_described():
    assert set(GOOD) | {"Extended", "__version__"} <= set(dir(hyperofa))
    described = hyperofa.initialise.__doc__
    assert "Raises:" in described
    assert "rank: columns of the coordinates" in described
