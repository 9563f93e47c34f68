"""Gathering: nothing of a test set is left in any file that training reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hyperofa.cli import main
from hyperofa.data import test_sets as harness
from hyperofa.data.gather import gather, write_gathered
from hyperofa.data.linekeys import line_key
from hyperofa.data.parallel import AlignedText
from hyperofa.data.settings import GatherSettings
from hyperofa.errors import DataMissingError, InputError
from hyperofa_eval.base.files import read_json


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two parallel corpora, plain text, and test sets that lie in all of them."""
    write(tmp_path / "news" / "eng.txt", "The boat is red.", "She reads a book.", "Rain falls today.")
    write(tmp_path / "news" / "tur.txt", "Tekne kırmızı.", "Bir kitap okuyor.", "")
    write(tmp_path / "news" / "swh.txt", "Mashua ni nyekundu.", "Anasoma kitabu.", "Mvua inanyesha leo.")
    write(tmp_path / "verses" / "eng.train.tsv", "a.1\tIn the beginning", "a.2\tAnd it was so")
    write(tmp_path / "verses" / "swh.train.tsv", "a.1\tHapo mwanzo", "a.3\tIkawa hivyo kweli")
    write(tmp_path / "text" / "swh.txt", "Habari za asubuhi", "ANASOMA, kitabu!", "Habari za asubuhi", "12 34")
    write(tmp_path / "test" / "tatoeba" / "swh-eng.swh", "Anasoma kitabu.")
    write(tmp_path / "test" / "tatoeba" / "swh-eng.eng", "Rain falls today!")
    write(tmp_path / "test" / "pos" / "swh" / "test.tsv", "Hapo\tADV", "mwanzo\tNOUN", ".\tPUNCT")
    return tmp_path


def test_no_test_line_is_left(files: Path) -> None:
    out = files / "out"
    parallel = [files / "news", files / "verses"]
    text = [files / "text" / "swh.txt"]
    made = write_gathered(parallel, text, files / "test", GatherSettings(document="pair"), out)
    written = {path.relative_to(out).as_posix(): path.read_text("utf-8") for path in out.rglob("*.txt")}
    for name, content in written.items():
        keys = {line_key(line) for line in content.splitlines()}
        assert line_key("Anasoma kitabu") not in keys, name
        assert line_key("Hapo mwanzo") not in keys, name
        assert "Rain falls" not in content, name
    assert written["text/swh.txt"].splitlines() == ["Mashua ni nyekundu.", "Ikawa hivyo kweli", "Habari za asubuhi"]
    assert made["left_out"] == {"eng": 1, "swh": 3}
    assert made["dropped"] == {
        "beside a test line": {"swh": 1},
        "repeated": {"swh": 1},
        "without letters": {"swh": 1},
    }
    assert made["train"] == {"swh": 3, "tur": 2}
    rows = {
        name.split("/")[1]: content.count("\n") for name, content in written.items() if name.startswith("parallel/")
    }
    assert set(rows.values()) == {made["rows"]}
    assert read_json(out / "gather.json") == made


def test_inputs_of_one_name_and_translations_without_english_are_kept(files: Path) -> None:
    write(files / "more" / "swh.txt", "Maneno mengine mengi")
    text = [files / "text" / "swh.txt", files / "more" / "swh.txt"]
    out = files / "out"
    made = write_gathered([files / "verses"], text, None, GatherSettings(document="pair"), out)
    assert list(made["inputs"]) == ["parallel/verses", "text/swh.txt", "text/swh.txt#2"]
    lines = (out / "documents" / "swh.txt").read_text(encoding="utf-8").splitlines()
    assert "Ikawa hivyo kweli" in lines
    assert [line for line in lines if line != line.strip()] == []


def test_a_cap_keeps_the_order_and_the_choice(files: Path) -> None:
    settings = GatherSettings(cap=1, seed=3)
    write_gathered([files / "news"], [], None, settings, files / "a")
    write_gathered([files / "news"], [], None, settings, files / "b")
    lines = (files / "a" / "text" / "eng.txt").read_text("utf-8").splitlines()
    assert len(lines) == 1
    assert (files / "b" / "text" / "eng.txt").read_text("utf-8").splitlines() == lines


def test_short_test_lines_empty_nothing() -> None:
    text = AlignedText(["Yes", "Yes, of course he did"], {"tur": ["Evet", "Evet, tabii ki yaptı"]})
    found = gather(text, {"tur": ["Evet"]}, {"eng": set(), "tur": set()})
    assert found.parallel == text
    assert found.text["tur"] == ["Evet"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        (("--parallel", "nowhere"), 3),
        (("--parallel", "news", "--test", "nowhere"), 3),
        (("--parallel", "news", "--cap", "0"), 2),
        (("--text", "1234.txt"), 2),
        (("--text", "a/text"), 3),
    ],
)
def test_wrong_input_is_one_line(
    files: Path, words: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    write(files / "1234.txt", "x")
    assert main(["data", "gather", *words, "--out", "out"]) == code
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (files / "out").exists()


def test_unaligned_files_are_named(files: Path) -> None:
    write(files / "news" / "tur.txt", "only one line")
    with pytest.raises(InputError, match=r"tur\.txt: unaligned: 1 lines, but eng\.txt has 3"):
        write_gathered([files / "news"], [], None, GatherSettings(), files / "out")
    write(files / "blank" / "tur.txt", "")
    with pytest.raises(DataMissingError, match="no line of text is left"):
        write_gathered([], [files / "blank" / "tur.txt"], None, GatherSettings(), files / "out")


def test_a_training_file_that_is_also_a_test_file_is_refused(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    words = ["data", "gather", "--text", "text/swh.txt", "--test", ".", "--out", "out"]
    assert main([*words, "--tasks", "lm"]) == 2
    assert "text/swh.txt: it is training text and a task's test set at once; hold a part out" in capsys.readouterr().err
    assert not (files / "out").exists()
    assert main(words) == 0  # no task reads text/ here


def test_text_that_is_scored_is_kept_out(files: Path) -> None:
    write(files / "test" / "text" / "swh.txt", "Habari za asubuhi!", "maneno mengine kabisa")
    settings = GatherSettings(tasks=("lm",))
    made = write_gathered([files / "news"], [files / "text" / "swh.txt"], files / "test", settings, files / "out")
    assert "asubuhi" not in (files / "out" / "text" / "swh.txt").read_text("utf-8")
    assert made["left_out"]["swh"] == 4  # a pair in both files, and the scored line twice


@pytest.mark.parametrize("layout", ["pairs", "tags", "text"])
def test_the_test_set_of_a_task_of_ones_own_is_kept_out(
    files: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hyperofa_eval.tasks import registry as tasks

    monkeypatch.setattr(tasks, "_ADDED", {})
    own = files / "own.py"
    own.write_text(
        "from hyperofa_eval.tasks.retrieval import Retrieval\nfrom hyperofa_eval.tasks import add_task\n"
        "add_task(Retrieval('sr-own', 'own'))\n"
    )
    place = {"pairs": "swh-eng.swh", "tags": "swh/test.tsv", "text": "swh.txt"}[layout]
    lines = ["Habari\tX", "za\tX", "asubuhi\tX"] if layout == "tags" else ["Habari za asubuhi"]
    write(files / "test" / "own" / place, *lines)
    write(files / "test" / "own" / "swh-eng.eng", "Good morning") if layout == "pairs" else None
    for tasks_, left in (((), True), (("sr-own",), False)):
        settings = GatherSettings(tasks=tasks_, extensions=(own,))
        write_gathered([files / "news"], [files / "text" / "swh.txt"], files / "test", settings, files / "out")
        assert ("asubuhi" in (files / "out" / "text" / "swh.txt").read_text("utf-8")) == left


def test_a_task_that_does_not_name_its_test_set_is_refused(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from hyperofa_eval.tasks import registry as tasks

    monkeypatch.setattr(tasks, "_ADDED", {"default": {"odd": SimpleNamespace(name="odd")}})
    with pytest.raises(InputError, match=r"task odd: it does not say which test sets it reads.*attribute corpus"):
        write_gathered([files / "news"], [], files / "test", GatherSettings(tasks=("odd",)), files / "out")
    with pytest.raises(InputError, match="unknown task 'lmm'"):
        write_gathered([files / "news"], [], files / "test", GatherSettings(tasks=("lmm",)), files / "out")


@pytest.mark.parametrize(("text", "test"), [("swh", "swh_Latn"), ("swh_Latn", "swh"), ("swh_Latn", "swh_Latn")])
def test_a_code_with_and_without_its_script_is_one_language_to_keep_test_lines_out(
    files: Path, text: str, test: str
) -> None:
    own = files / "plain" / f"{text}.txt"
    write(own, "Habari za asubuhi", "Maneno mengine kabisa")
    write(files / "scored" / "tatoeba" / f"{test}-eng.{test}", "Habari za asubuhi!")
    write(files / "scored" / "tatoeba" / f"{test}-eng.eng", "Good morning!")
    made = write_gathered([], [own], files / "scored", GatherSettings(), files / "out")
    assert made["left_out"][text] == 1


def test_a_test_line_is_kept_out_in_every_script_of_its_language_and_in_no_other_language(files: Path) -> None:
    own = [files / "plain" / f"{code}.txt" for code in ("zho_Hant", "zho_Hans", "jpn")]
    for path in own:
        write(path, "\u6211\u4e0d\u77e5\u9053\u4ed6\u4f86", "\u6211\u4e0d\u77e5\u9053\u4ed6\u6765")
    write(files / "scored" / "text" / "zho_Hans.txt", "\u6211\u4e0d\u77e5\u9053\u4ed6\u6765")
    made = write_gathered([], own, files / "scored", GatherSettings(tasks=("lm",)), files / "out")
    assert made["left_out"] == {"zho_Hans": 1, "zho_Hant": 1}
    assert (files / "out/text/zho_Hant.txt").read_text("utf-8") == "\u6211\u4e0d\u77e5\u9053\u4ed6\u4f86\n"


def test_of_a_folder_of_text_every_kind_is_read_and_what_is_passed_over_is_told(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = files / "mixed"
    write(folder / "swh.txt", "Habari za asubuhi")
    write(folder / "tur.part.jsonl", '{"text": "Tekne"}')
    write(folder / "kab.txt.bak", "ur ttaru ara")
    write(folder / "README.txt", "Read me")
    write(folder / "deu.txt.d" / "x", "x")
    assert main(["data", "gather", "--text", str(folder), "--out", str(files / "out")]) == 0
    assert read_json(files / "out" / "gather.json")["train"] == {"swh": 1, "tur": 1}
    told = [line.partition(": ")[0].rpartition("/")[2] for line in capsys.readouterr().err.splitlines()]
    assert told == ["README.txt", "deu.txt.d", "kab.txt.bak"]


def test_a_language_of_which_no_line_is_left_is_in_the_table(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = files / "plain" / "swh.txt"
    write(own, "Anasoma kitabu.")
    words = ["--text", own, files / "news" / "tur.txt", "--test", files / "test", "--out", files / "out"]
    assert main(["data", "gather", *map(str, words)]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "swh" in line]
    assert row.split("│")[2:4] == ["     0 ", "                   1 "]
    assert main(["data", "gather", *map(str, words), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_json(files / "out" / "gather.json")


def test_a_training_file_beside_the_test_sets_is_no_test_set_by_its_name(files: Path) -> None:
    write(files / "scored" / "bible" / "eng.tsv", "MAT.1.1\tThe book of the generation")
    write(files / "scored" / "bible" / "swh.tsv", "MAT.1.1\tKitabu cha ukoo")
    write(files / "scored" / "bible" / "swh_train.tsv", "MRK.1.1\tMwanzo wa Injili")
    assert set(harness.tested_files(files / "scored", ["bible"], ["swh"])) == {("bible", "swh")}


def test_plain_english_with_its_script_is_english_too(files: Path) -> None:
    write(files / "plain" / "eng_Latn.txt", "The water is cold.")
    write(files / "plain" / "eng.txt", "The sun is warm.")
    made = write_gathered([], [files / "plain", files / "news" / "tur.txt"], None, GatherSettings(), files / "out")
    assert (made["english"], made["train"]) == (2, {"tur": 2})
    assert (files / "out" / "text" / "eng.txt").read_text("utf-8").splitlines() == [
        "The sun is warm.",
        "The water is cold.",
    ]


def test_a_nul_in_json_is_a_space(files: Path) -> None:
    write(files / "json" / "swh.jsonl", '{"text": "habari\\u0000za leo"}')
    write_gathered([], [files / "json"], None, GatherSettings(), files / "out")
    assert (files / "out" / "text" / "swh.txt").read_text("utf-8") == "habari za leo\n"


def test_english_may_carry_its_script(files: Path) -> None:
    write(files / "flores" / "eng_Latn.txt", "The water is cold.")
    write(files / "flores" / "tur_Latn.txt", "Su soğuk.")
    made = write_gathered([files / "flores"], [], None, GatherSettings(document="pair"), files / "out")
    assert (made["english"], made["train"]) == (1, {"tur_Latn": 1})
    assert sorted((files / "out" / "documents" / "tur_Latn.txt").read_text("utf-8").split()) == [
        "Su", "The", "cold.", "is", "soğuk.", "water",
    ]  # fmt: skip
