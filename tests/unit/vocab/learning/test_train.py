"""Training a tokenizer: laid out as XLM-R's, deterministic, loadable without a network."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hyperofa import cli
from hyperofa.vocab.surfaces import token_surfaces

TEXTS = {
    "eng": ["The government wants water.", "The dog sees the government", "water for the dogs and houses"] * 20,
    "deu": ["Die Regierung will Wasser.", "Der Hund sieht die Regierung", "Wasser für die Hunde und Häuser"] * 5,
    "jpn": ["政府は水を望んでいる。", "犬は政府を見る", "犬と家のための水"] * 5,
}


@pytest.fixture
def texts(tmp_path):
    words = []
    for language, lines in TEXTS.items():
        (tmp_path / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
        words.append(f"{language}={tmp_path / f'{language}.txt'}")
    return words


def train(texts, out, *more):
    return cli.main(["tokenizer", "train", "--text", *texts, "--vocab-size", "200", "--out", str(out), *more])


def load(path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(path), local_files_only=True)


def test_loads_offline_and_has_the_layout_of_xlmr(texts, tmp_path):
    assert train(texts, tmp_path / "out") == 0
    tokenizer = load(tmp_path / "out")
    assert tokenizer.is_fast
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    assert tokenizer.model_max_length == 512
    ids = tokenizer("The government")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    pair = tokenizer("The", "dog")["input_ids"]
    assert pair.count(tokenizer.sep_token_id) == 3
    assert (
        tokenizer.decode(tokenizer.encode("The dog wants water."), skip_special_tokens=True) == "The dog wants water."
    )
    masked = tokenizer.convert_ids_to_tokens(tokenizer("The <mask> wants")["input_ids"])
    assert "<mask>" in masked
    assert "▁" not in masked  # the mask takes the space before it, as in XLM-R
    assert {s.role for s in token_surfaces(tokenizer)} == {"cls", "pad", "sep", "unk", "mask", None}


def test_normalises_as_xlmr_does(texts, tmp_path):
    train(texts, tmp_path / "out")
    tokenizer = load(tmp_path / "out")
    assert tokenizer.tokenize("Ｔｈｅ\u00a0dog\u200bwater") == tokenizer.tokenize("The dog water")


def test_unknown_or_bytes(texts, tmp_path):
    train(texts, tmp_path / "unk")
    cli.main(
        ["tokenizer", "train", "--text", *texts, "--vocab-size", "460", "--byte-fallback", "--out", str(tmp_path / "b")]
    )
    tokenizer = load(tmp_path / "unk")
    assert tokenizer.unk_token_id in tokenizer("собака")["input_ids"]
    tokenizer = load(tmp_path / "b")
    assert tokenizer.tokenize("ф")[-2:] == ["<0xD1>", "<0x84>"]
    assert tokenizer.decode(tokenizer.encode("собака dog", add_special_tokens=False)) == "собака dog"
    assert sum(s.kind == "byte" for s in token_surfaces(tokenizer)) == 256


def test_deterministic_across_processes(texts, tmp_path):
    for name in ("a", "b"):
        argv = [sys.executable, "-m", "hyperofa.cli", "tokenizer", "train", "--text", *texts]
        subprocess.run([*argv, "--vocab-size", "200", "--out", str(tmp_path / name)], check=True, capture_output=True)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_alpha_gives_small_languages_their_share(texts, tmp_path, capsys):
    def tokens_per_word(alpha):
        train(texts, tmp_path / "out", "--alpha", str(alpha), "--json")
        return json.loads(capsys.readouterr().out)["fertility"]["new"]["deu"]["tokens_per_word"]

    assert tokens_per_word(0) <= tokens_per_word(1)


def test_the_report_counts_what_the_tokenizer_does(texts, tmp_path, capsys):
    train(texts, tmp_path / "out", "--json")
    printed = json.loads(capsys.readouterr().out)
    record = json.loads((tmp_path / "out/training.json").read_text())
    tokenizer = load(tmp_path / "out")
    assert printed["entries"] == record["entries"] == len(tokenizer) == 200
    tokens = sum(len(tokenizer.tokenize(line)) for line in TEXTS["eng"])
    words = sum(len(line.split()) for line in TEXTS["eng"])
    assert printed["fertility"]["new"]["eng"]["tokens_per_word"] == pytest.approx(tokens / words)
    assert printed["fertility"]["new"]["eng"]["unknown"] == 0
    assert record["fertility"] == printed["fertility"]
    assert str(tmp_path) not in json.dumps(record)
    train(texts, tmp_path / "out")
    assert "tokens/word" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "more", "code", "message"),
    [
        ("eng=/nowhere.txt", [], 3, "/nowhere.txt: no such file"),
        ("{}/no-code?.txt", [], 2, "no language code"),
        ("eng={}/eng.txt", ["--vocab-size", "3"], 2, "--vocab-size: 3 is not 6 or more"),
        ("eng={}/eng.txt", ["--vocab-size", "12"], 2, "ask for"),
        ("eng={}/empty.txt", [], 2, "no words in the text"),
        ("eng={}/bad.txt", [], 2, "bad.txt, line 2: not UTF-8"),
        ("eng={}/eng.txt", ["--alpha", "7"], 2, "alpha"),
    ],
)
def test_wrong_input_is_one_line(texts, tmp_path, capsys, text, more, code, message):
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "bad.txt").write_bytes(b"fine\n\xff\xff\n")
    assert train([text.format(tmp_path)], tmp_path / "out", *more) == code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_too_little_text_gives_fewer_entries_and_says_so(texts, tmp_path, capsys):
    assert cli.main(["tokenizer", "train", "--text", *texts, "--vocab-size", "5000", "--out", str(tmp_path / "o")]) == 0
    assert "of the 5000 asked for" in capsys.readouterr().err
    assert len(load(tmp_path / "o")) < 5000


def test_special_tokens_typed_in_the_text_are_text_and_no_entries(texts, tmp_path, capsys):
    lines = ["The dog</s> sees <mask> <unk> water", "houses </s></s> and <s>dogs"] * 40
    (tmp_path / "swh.txt").write_text("\n".join(lines), encoding="utf-8")
    assert train([*texts, f"swh={tmp_path / 'swh.txt'}"], tmp_path / "out", "--held-out", "0", "--json") == 0
    captured = capsys.readouterr()
    assert "swh: 240 special tokens typed in the text, such as '</s>', are text" in captured.err
    tokenizer = load(tmp_path / "out")
    tokens = [piece for piece, _ in json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]]
    assert len(tokens) == len(set(tokens)) == json.loads(captured.out)["entries"]
    figures = json.loads(captured.out)["fertility"]["new"]["swh"]
    assert figures["unknown"] == 0  # <unk> is text, too


def test_the_report_reads_typed_special_tokens_as_text(texts, tmp_path):
    from hyperofa.vocab.change import changed_share
    from hyperofa.vocab.report import fertility

    train(texts, tmp_path / "out")
    tokenizer = load(tmp_path / "out")
    assert fertility(tokenizer, ["</s>"])["unknown"] > 0  # as the token, it would be known
    renamed = json.loads((tmp_path / "out/tokenizer.json").read_text().replace("<mask>", "<hole>"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/tokenizer.json").write_text(json.dumps(renamed))
    settings = (tmp_path / "out/tokenizer_config.json").read_text().replace("<mask>", "<hole>")
    (tmp_path / "other/tokenizer_config.json").write_text(settings)
    assert changed_share(tokenizer, load(tmp_path / "other"), ["dog <mask> <hole>"])["changed_words"] == 0
