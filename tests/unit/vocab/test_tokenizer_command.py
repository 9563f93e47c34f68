"""``hyperofa tokenizer``: junk and little text are told, figures are of lines kept out, the source's own text is measured."""

from __future__ import annotations

import base64
import json
import random

import pytest

from hyperofa import cli
from hyperofa.vocab.report import fertility, load_tokenizer
from tests.unit.vocab.conftest import make_wordpiece

DRAW = random.Random(0)
ONSETS, VOWELS = "bcdfghjklmnprstvwz", "aeiou"
WORDS = ["".join(DRAW.choice(ONSETS) + DRAW.choice(VOWELS) for _ in range(DRAW.randint(1, 4))) for _ in range(400)]


def sentences(number, words=WORDS, seed=0):
    draw = random.Random(seed)
    return [" ".join(words[min(int(draw.expovariate(0.02)), len(words) - 1)] for _ in range(8)) for _ in range(number)]


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def text(tmp_path):
    return write(tmp_path / "swh.txt", sentences(1500))


@pytest.fixture
def source(tmp_path):
    make_wordpiece().save_pretrained(tmp_path / "source")
    return tmp_path / "source"


def train(tmp_path, *words, out="out"):
    return cli.main(["tokenizer", "train", "--vocab-size", "300", "--out", str(tmp_path / out), *map(str, words)])


def figures(capsys, kind="new", language="swh"):
    captured = capsys.readouterr()
    return json.loads(captured.out)["fertility"][kind][language], captured.err


@pytest.mark.parametrize(
    "junk",
    [base64.b64encode(random.Random(1).randbytes(230_000)).decode(), "a" * 2_000_000, "https://a.org/" + "page/" * 400],
    ids=["base64", "one letter", "address"],
)
def test_junk_in_one_language_changes_no_piece(tmp_path, text, capsys, junk):
    kat = [f"{line} მთავრობა" for line in sentences(300, seed=1)]
    clean, dirty = write(tmp_path / "clean.txt", kat), write(tmp_path / "dirty.txt", [*kat, junk])
    train(tmp_path, "--text", f"swh={text}", f"kat={clean}", "--held-out", "0", out="clean")
    assert "left out" not in capsys.readouterr().err
    train(tmp_path, "--text", f"swh={text}", f"kat={dirty}", "--held-out", "0", out="dirty")
    told = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(told) == 1
    assert told[0].startswith("kat: 1 word left out")
    assert (tmp_path / "clean/tokenizer.json").read_bytes() == (tmp_path / "dirty/tokenizer.json").read_bytes()
    assert json.loads((tmp_path / "dirty/training.json").read_text())["text"]["kat"]["left_out"] == 1


def test_an_empty_language_is_refused(tmp_path, text, source, capsys):
    empty = write(tmp_path / "kat.txt", ["", "  "])
    extend = ["tokenizer", "extend", "--source", str(source), "--vocab-size", "900", "--out", str(tmp_path / "grown")]
    assert train(tmp_path, "--text", f"swh={text}", f"kat={empty}") == 2
    assert cli.main([*extend, "--text", f"swh={text}", f"kat={empty}"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert all("kat" in line and "no words in the text" in line for line in lines)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "grown").exists()


def test_fertility_is_that_of_lines_kept_out(tmp_path, text, capsys):
    """Text that repeats nothing can not be learnt: on the training text it would look as if it had been."""
    assert train(tmp_path, "--text", f"swh={text}", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["text"]["swh"]["held_out"] == printed["fertility"]["new"]["swh"]["lines"] == 75
    assert printed["text"]["swh"]["lines"] == 1500
    record = json.loads((tmp_path / "out/training.json").read_text())
    assert record["text"] == printed["text"]
    assert record["made_by"]["settings"]["held_out"] == 0.05
    assert (record["made_by"]["settings"]["cap"], record["made_by"]["settings"]["seed"]) == (200_000, 0)


def test_little_text_is_told_and_its_figures_are_no_success(tmp_path, source, capsys):
    draw = random.Random(2)
    own = ["".join(draw.choice(ONSETS) + draw.choice(VOWELS) for _ in range(3)) for _ in range(600)]
    path = write(tmp_path / "tuk.txt", [" ".join(own[8 * i : 8 * i + 8]) for i in range(75)])
    words = ["tokenizer", "extend", "--source", str(source), "--text", f"tuk={path}", "--vocab-size", "2000", "--json"]
    assert cli.main([*words, "--out", str(tmp_path / "grown")]) == 0
    after, told = figures(capsys, "after", "tuk")
    (warning,) = [line for line in told.splitlines() if "too little text" in line]
    assert "learnt by heart: tuk (65 lines" in warning
    assert after["lines"] == 10
    learnt = path.read_text().splitlines()
    grown = load_tokenizer(str(tmp_path / "grown"))
    assert fertility(grown, learnt)["tokens_per_word"] < after["tokens_per_word"]


def test_hardly_any_text_is_measured_on_itself_and_that_is_said(tmp_path, capsys):
    path = write(tmp_path / "tuk.txt", sentences(20))
    assert train(tmp_path, "--text", f"tuk={path}", "--json") == 0
    found, told = figures(capsys, language="tuk")
    assert "tuk: too few lines to keep some out" in told
    assert found["lines"] == 20


def test_the_lines_drawn_are_told(tmp_path, text, capsys):
    assert train(tmp_path, "--text", f"swh={text}", "--cap", "1000", "--seed", "3") == 0
    assert "swh: 1,000 of 1,500 lines drawn" in capsys.readouterr().err
    train(tmp_path, "--text", f"swh={text}", "--cap", "1000", "--seed", "3", out="again")
    train(tmp_path, "--text", f"swh={text}", "--cap", "1000", "--seed", "4", out="other")
    first, again, other = ((tmp_path / name / "tokenizer.json").read_bytes() for name in ("out", "again", "other"))
    assert first == again != other


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--cap", "0"), "--cap: 0 is not a number of 1 or more"),
        (("--held-out", "0.9"), "--held-out: 0.9 is not in [0, 0.5]"),
        (("--vocab-size", "5"), "--vocab-size: 5 is not 6 or more"),
        (("--normalizer", "none", "--byte-fallback", "--vocab-size", "261"), "--vocab-size: 261 is not 262 or more"),
    ],
)
def test_wrong_numbers_are_one_line(tmp_path, text, capsys, option, told):
    assert train(tmp_path, "--text", f"swh={text}", *option) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line


def test_the_source_s_own_text_is_measured_and_not_learnt_from(tmp_path, text, source, capsys):
    own = write(tmp_path / "eng.txt", ["the dog, the government"] * 3 + sentences(60, seed=5))
    words = ["tokenizer", "extend", "--source", str(source), "--text", f"swh={text}", "--vocab-size", "400"]
    assert cli.main([*words, "--out", str(tmp_path / "plain"), "--json"]) == 0
    assert "source_text" not in json.loads(capsys.readouterr().out)
    words += ["--source-text", f"eng={own}", "--out", str(tmp_path / "grown")]
    assert cli.main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["source_text"]["eng"]
    assert set(found) == {"before", "after", "changed"}
    assert found["before"]["lines"] == found["changed"]["lines"] == 61, "a repeated line is measured once"
    assert 0 < found["changed"]["changed_words_share"] < found["changed"]["changed_lines_share"] < 1
    assert found["after"]["tokens_per_word"] < found["before"]["tokens_per_word"]
    assert (tmp_path / "plain/tokenizer.json").read_bytes() == (tmp_path / "grown/tokenizer.json").read_bytes()
    assert "source-text/eng/eng.txt" in json.loads((tmp_path / "grown/training.json").read_text())["made_by"]["inputs"]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    for heading in ("tokens/word before", "tokens/word after", "characters/token before", "lines cut differently %"):
        assert heading in shown
    assert "eng (source's own)" in shown


def test_what_fewer_entries_would_save_is_shown(tmp_path, text, source, capsys):
    words = ["tokenizer", "extend", "--source", str(source), "--text", f"swh={text}", "--out", str(tmp_path / "grown")]
    assert cli.main([*words, "--vocab-size", "400", "--json"]) == 0
    sizes = json.loads(capsys.readouterr().out)["saved"]
    record = json.loads((tmp_path / "grown/training.json").read_text())
    assert record["saved"] == sizes
    before, after = (record["fertility"][name]["swh"]["tokens_per_word"] for name in ("before", "after"))
    assert sizes[-1]["languages"]["swh"] == sizes[-1]["mean"] == pytest.approx(1 - after / before)
    assert cli.main([*words, "--vocab-size", "auto"]) == 0
    shown = capsys.readouterr().out
    assert "tokens saved %, by number of new entries" in shown
    (line,) = [line for line in shown.splitlines() if "taken" in line]
    taken = [size for size in json.loads((tmp_path / "grown/training.json").read_text())["saved"] if size["taken"]]
    assert [f"{size['new']}" in line and f"{100 * size['mean']:.2f}" in line for size in taken] == [True]


def test_source_text_without_a_language_or_words_is_one_line(tmp_path, text, source, capsys):
    words = ["tokenizer", "extend", "--source", str(source), "--text", f"swh={text}", "--vocab-size", "400"]
    words += ["--out", str(tmp_path / "grown"), "--source-text"]
    assert cli.main([*words, str(write(tmp_path / "no code.txt", ["dog"]))]) == 2
    assert "--source-text" in capsys.readouterr().err
    assert cli.main([*words, f"eng={write(tmp_path / 'empty.txt', [''])}"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "eng" in line
    assert "no words in the text" in line
    assert not (tmp_path / "grown").exists()


@pytest.mark.parametrize("name", ["swh.jsonl", "swh.JSON", "swh.ndjson.gz", "swh.parquet"])
def test_what_is_no_plain_text_by_its_name_is_refused(tmp_path, capsys, name):
    (tmp_path / name).write_text('{"text": "habari"}\n')
    assert train(tmp_path, "--text", f"swh={tmp_path / name}") == 2
    assert f"{name}: only plain text is read here; write its texts as lines" in capsys.readouterr().err
