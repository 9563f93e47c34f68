"""Looking at a data folder: what is there, what is missing, what looks wrong."""

from __future__ import annotations

import json

from hyperofa_eval.cli import main


def check(data, *words, code=0, capsys):
    assert main(["data", "check", str(data), "--json", *map(str, words)]) == code
    return json.loads(capsys.readouterr().out)


def test_says_what_is_there_and_what_is_missing(data, capsys):
    report = check(data, capsys=capsys)
    assert report["present"]["tatoeba"] == {"tur": 12, "ces": 12, "swh": 12, "cmn": 12}
    assert report["present"]["bible"] == {"ces": 4, "swh": 5}
    assert report["present"]["ner"] == {"eng": 2, "tur": 3, "ces": 2}
    assert "eng" not in report["missing"]["tatoeba"]
    assert "dtp" in report["missing"]["pos"]
    assert report["faults"] == []
    assert report["warnings"] == []


def test_finds_wrong_scripts_duplicates_leaks_and_misaligned_sides(data, capsys, tmp_path):
    path = data / "tatoeba/cmn-eng.cmn"
    path.write_text((data / "tatoeba/ces-eng.ces").read_text())
    lines = (data / "tatoeba/tur-eng.tur").read_text().splitlines()
    (data / "tatoeba/tur-eng.tur").write_text("\n".join([*lines[:-1], lines[0]]))
    (data / "bible/swh.train.tsv").write_text("LUK.1.1\tYESU  akalia machozi.\n")
    training = tmp_path / "training.txt"
    training.write_text("Děti si hrají na zahradě.\n")
    (data / "ner/ces/test.tsv").write_text("v\tO\nPraze\tI-LOC\n")
    for i, suffix in enumerate(("eng", "kor")):
        words = [("한국어 " if i else "word ") * (1 + (7 * k if i == 0 else 99 - k) % 23) + str(k) for k in range(60)]
        (data / f"tatoeba/kor-eng.{suffix}").write_text("\n".join(words))
    report = check(data, "--training", training, capsys=capsys)
    found = "\n".join(report["warnings"])
    assert "tatoeba/cmn: 0 % of the letters are Hani" in found
    assert "tatoeba/tur: 1 of 12 tur lines are duplicates" in found
    assert "bible/swh: 1 of 5 test lines are in the training text" in found
    assert "tatoeba/ces: 1 of 12 test lines are in the training text" in found
    assert "ner/ces: 1 gold I- tags continue nothing" in found
    assert "tatoeba/kor: the sides' lengths correlate by" in found


def test_faults_that_would_stop_a_run_are_all_named_and_exit_1(data, capsys):
    (data / "tatoeba/tur-eng.tur").write_text("bir\n")
    (data / "ner/tur/test.tsv").write_text("Ali PER\n")
    (data / "bible/swh.test.tsv").write_text("JHN.1.1 no tab\n")
    (data / "pos/eng/dev.tsv").unlink()
    faults = "\n".join(check(data, code=1, capsys=capsys)["faults"])
    assert "tur-eng.tur: unaligned" in faults
    assert "test.tsv, line 1: the tag 'PER'" in faults
    assert "swh.test.tsv, line 1: not id<TAB>text" in faults
    assert "pos: no English dev set" in faults


def test_a_manifest_notices_changed_files(data, capsys):
    check(data, "--manifest", capsys=capsys)
    manifest = json.loads((data / "manifest.json").read_text())
    assert len(manifest["files"]["tatoeba/tur-eng.tur"]) == 64
    assert check(data, capsys=capsys)["faults"] == []
    path = data / "tatoeba/tur-eng.tur"
    path.write_text(path.read_text().replace("Bugün", "Dün"))
    assert "tatoeba/tur-eng.tur: not the file" in check(data, code=1, capsys=capsys)["faults"][0]


def line_of(capsys, code, *words):
    capsys.readouterr()
    assert main([str(word) for word in words]) == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("hyperofa-eval: error: ")]
    return line


def test_names_what_no_run_reads_and_counts_lone_verses(data, capsys):
    (data / "tatoeba/deu-eng.deu").write_text("Hallo.\n")
    (data / "tatoeba/deu-eng.eng").write_text("Hello.\n")
    (data / "ner/zho").mkdir()
    (data / "ner/zho/test.tsv").write_text("猫\tO\n")
    (data / "bible/swh.test.tsv").write_text((data / "bible/swh.test.tsv").read_text() + "REV.1.1\tUfunuo wa Yesu.\n")
    notes = check(data, capsys=capsys)["notes"]
    assert any(note.startswith("tatoeba: data of deu,") for note in notes)
    assert any(note.startswith("ner: data of zho,") for note in notes)
    assert "bible/ces: 1 verse ids in eng alone, not scored" in notes
    assert "bible/swh: 1 verse ids in swh alone, not scored" in notes
    assert not any(note.startswith(("pos: ", "text: ")) for note in notes)
    report = check(data, "--languages", "deu,tur_Latn", capsys=capsys)
    assert report["present"]["tatoeba"] == {"deu": 1, "tur_Latn": 12}
    assert "tatoeba: tur_Latn is scored on the data of tur, it has none of its own" in report["notes"]
    assert not any("deu" in note for note in report["notes"])
    assert not any("zho" in note for note in check(data, "--aliases", capsys=capsys)["notes"])


def test_wrong_words_to_data_check(data, capsys, tmp_path):
    assert "unknown language 'xyz'" in line_of(capsys, 2, "data", "check", data, "--languages", "tur,xyz")
    missing = tmp_path / "nofile.txt"
    assert "nofile.txt: no such file" in line_of(capsys, 3, "data", "check", data, "--training", missing)
    assert "cannot be read" in line_of(capsys, 2, "data", "check", data, "--training", tmp_path)
    (tmp_path / "text.jsonl.gz").touch()
    said = "text.jsonl.gz: not plain text, in which alone leaks are looked for"
    assert said in line_of(capsys, 2, "data", "check", data, "--training", tmp_path / "text.jsonl.gz")
    for text in ('{"schema": 1}', "[]", '{"files": []}', '{"files": {"a": 1}}'):
        (data / "manifest.json").write_text(text)
        assert "manifest.json: not a manifest" in line_of(capsys, 2, "data", "check", data)
        assert "manifest.json: not a manifest" in line_of(
            capsys, 2, "data", "fetch", "ner", tmp_path, "--languages", "tur", "--out", data
        )


def test_leaks_of_every_corpus_are_found_whatever_the_spacing(data, capsys, tmp_path):
    training = tmp_path / "training.txt"
    lines = []
    for name in ("ner/tur/test.tsv", "pos/ces/test.tsv", "ner/eng/test.tsv"):
        block = (data / name).read_text().split("\n\n")[0].splitlines()
        words = " ".join(row.partition("\t")[0] for row in block)
        lines.append(words.replace(" .", ".").replace(" ,", ","))
    lines.append((data / "text/swh.txt").read_text().splitlines()[0])
    training.write_text("\n".join(lines) + "\n")
    found = "\n".join(check(data, "--training", training, capsys=capsys)["warnings"])
    for place in ("ner/tur: 1 of 3", "pos/ces: 1 of", "ner/eng: 1 of 2", "text/swh: 1 of 12"):
        assert place in found, found


def test_leaks_are_found_in_training_text_with_tabs(data, capsys, tmp_path):
    lines = (data / "text/swh.txt").read_text().splitlines()
    middle = lines[2].replace(" ", "\t", 1)
    (data / "text/swh.txt").write_text("\n".join([lines[0], lines[1], middle]) + "\n\n \n")
    (tmp_path / "training.txt").write_text(f"a.1\t{middle}\n{lines[0]}\tx\n0\ta.2\t{lines[1]}\n")
    report = check(data, "--training", tmp_path / "training.txt", capsys=capsys)
    assert any("text/swh: 2 of 3 test lines" in line for line in report["warnings"])
    assert "text/swh.txt: 2 blank lines are left out" in report["notes"]


def test_english_test_sentences_in_its_own_training_set_are_found(data, capsys):
    train, test = data / "ner/eng/train.tsv", data / "ner/eng/test.tsv"
    test.write_text(train.read_text().split("\n\n")[0] + "\n\n" + test.read_text())
    assert "ner/eng: 1 of 3 test lines are in the training text" in "\n".join(check(data, capsys=capsys)["warnings"])


def test_a_lost_line_in_the_middle_is_found_where_it_shifts_the_rest(data, capsys):
    import random

    rng = random.Random(0)
    counts = [rng.randint(1, 20) for _ in range(401)]
    english = [" ".join(["word"] * n) + f" {i}" for i, n in enumerate(counts)]
    other = [" ".join(["sana"] * n) + f" {i}" for i, n in enumerate(counts)]
    (data / "tatoeba/tur-eng.eng").write_text("\n".join(english[:400]))
    (data / "tatoeba/tur-eng.tur").write_text("\n".join(other[:400]))
    assert not [line for line in check(data, capsys=capsys)["warnings"] if "misaligned" in line]
    (data / "tatoeba/tur-eng.tur").write_text("\n".join(other[:200] + other[201:]))
    (line,) = [line for line in check(data, capsys=capsys)["warnings"] if "misaligned" in line]
    assert line.startswith("tatoeba/tur: ")
    assert "in lines 201 to 400" in line
