"""``hyperofa corpus prepare``: what it writes, that it is the same each time, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from datasets import Dataset

from hyperofa.cli import main
from hyperofa.corpus.packed import PackedCorpus
from hyperofa.corpus.prepare import prepare
from hyperofa.corpus.settings import CorpusSettings
from hyperofa.corpus.tokenizing import DocumentTokenizer
from hyperofa.errors import DataMissingError, InputError

from .conftest import LINES


def test_counts_and_contents(corpus, tokenizer_directory):
    tokenizer = DocumentTokenizer(tokenizer_directory).tokenizer
    assert [language.name for language in corpus.languages] == list(LINES)
    for index, language in enumerate(corpus.languages):
        lines = LINES[language.name]
        expected = [token for line in lines for token in tokenizer(line)["input_ids"]]
        samples = np.flatnonzero(corpus.languages_of(np.arange(corpus.n_sequences)) == index)
        ids, segments = corpus.rows(samples)
        assert ids[segments >= 0].tolist() == expected
        assert language.documents == len(lines)
        assert language.tokens == len(expected)
        assert language.characters == sum(map(len, lines))
        assert language.unknown == expected.count(tokenizer.unk_token_id)
        assert language.sequences == len(samples) == -(-len(expected) // corpus.length)
    assert corpus.n_sequences == sum(language.sequences for language in corpus.languages)
    corpus.verify()


def test_datasets_reads_the_files_too(corpus):
    rows = Dataset.from_file(str(corpus.directory / corpus.languages[0].file))
    assert rows.num_rows == corpus.languages[0].sequences
    ids, segments = corpus.rows(np.array([0]))
    assert rows[0] == {"input_ids": ids[0].tolist(), "segments": segments[0].tolist(), "lang": 0}


@pytest.mark.slow
def test_the_corpus_does_not_depend_on_the_number_of_processes(corpus, tokenizer_directory, text_files, tmp_path):
    again = prepare(tokenizer_directory, text_files, tmp_path / "again", CorpusSettings(length=32, processes=2))
    assert again.fingerprint == corpus.fingerprint


def test_settings_change_the_fingerprint(corpus, tokenizer_directory, text_files, tmp_path):
    same = prepare(tokenizer_directory, text_files, tmp_path / "same", CorpusSettings(length=32))
    longer = prepare(tokenizer_directory, text_files, tmp_path / "longer", CorpusSettings(length=64))
    capped = prepare(
        tokenizer_directory, text_files, tmp_path / "capped", CorpusSettings(length=32, cap={"": 20, "kab_Latn": 4})
    )
    weighted = prepare(
        tokenizer_directory, text_files, tmp_path / "w", CorpusSettings(length=32, weight={"kab_Latn": 2.0})
    )
    warm = prepare(tokenizer_directory, text_files, tmp_path / "t", CorpusSettings(length=32, temperature=2.0))
    kept = prepare(tokenizer_directory, text_files, tmp_path / "r", CorpusSettings(length=32, replay={"eng_Latn": 0.2}))
    assert same.fingerprint == corpus.fingerprint
    assert len({made.fingerprint for made in (corpus, longer, capped, weighted, warm, kept)}) == 6
    assert (corpus.replayed, kept.replayed) == ([], ["eng_Latn"])
    assert [language.documents for language in capped.languages] == [20, 20, 4]


def test_a_decoders_documents_end_with_its_end_token(decoder_directory, text_files, tmp_path):
    corpus = prepare(decoder_directory, text_files, tmp_path / "c", CorpusSettings(length=32, keep_whole=True))
    ids, segments = corpus.rows(np.arange(corpus.n_sequences))
    ends = np.ones_like(segments, dtype=bool)
    ends[:, :-1] = segments[:, 1:] != segments[:, :-1]
    assert (ids[ends & (segments >= 0)] == 0).mean() > 0.9  # but where a document is longer than a sequence
    assert (ids[segments < 0] == corpus.pad_id).all()
    assert corpus.tokens.mask_id is None


def test_the_command_prints_and_replaces_its_own_output(tokenizer_directory, text_files, tmp_path, capsys):
    words = [f"{language}={file}" for language, files in text_files.items() for file in files]
    command = [
        "corpus",
        "prepare",
        "--tokenizer",
        str(tokenizer_directory),
        "--length",
        "16",
        "--out",
        str(tmp_path / "c"),
    ]
    assert main([*command, "--text", *words, "--cap", "5", "eng_Latn=7", "--weight", "kab_Latn=2"]) == 0
    assert "eng_Latn" in capsys.readouterr().out
    assert main([*command, "--text", *words, "--temperature", "2", "--json"]) == 0
    meta = json.loads(capsys.readouterr().out)
    assert meta["sampling"] == {"weights": [1.0, 1.0, 1.0], "temperature": 2.0}
    assert main([*command, "--text", *words, "--replay", "eng_Latn=0.25", "--keep-whole"]) == 0
    (printed,) = [line for line in capsys.readouterr().out.splitlines() if "eng_Latn" in line]
    corpus = PackedCorpus.open(tmp_path / "c")
    drawn = zip(corpus.languages, corpus.order(0).shares, strict=True)
    tokens = {language.name: share * language.tokens / language.sequences for language, share in drawn}
    assert tokens["eng_Latn"] / sum(tokens.values()) == pytest.approx(0.25, abs=1e-6)
    place = [language.name for language in corpus.languages].index("eng_Latn")
    assert f"{100 * corpus.order(0).shares[place]:.2f}" in printed
    assert main([*command, "--text", *words, "--temperature", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == meta
    assert main(["corpus", "show", str(tmp_path / "c"), "--verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == meta
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"--text": ["eng_Latn="]}, 2, "no language code in 'eng_Latn='; write LANG=FILE"),
        ({"--text": ["../x=a.txt"]}, 2, "no language code in '../x=a.txt'"),
        ({"--text": ["eng_Latn=nothing.txt"]}, 3, "no such text file"),
        ({"--tokenizer": ["nothing"]}, 3, "nothing: no such directory"),
        ({"--cap": ["eng_Latn=x"]}, 2, "is not [LANG=]N"),
        ({"--cap": ["deu_Latn=3"]}, 2, "names 'deu_Latn', which has no text"),
        ({"--weight": ["3"]}, 2, "--weight: '3' is not LANG=W"),
        ({"--weight": ["eng_Latn=0"]}, 2, "one must be positive"),
        ({"--weight": ["eng_Latn=inf"]}, 2, "--weight: inf is not a number of 0 or more"),
        ({"--weight": ["eng_Latn=nan"]}, 2, "--weight: nan is not a number of 0 or more"),
        ({"--temperature": ["0"]}, 2, "--temperature: 0.0 is not a number above 0"),
        ({"--temperature": ["nan"]}, 2, "--temperature: nan is not a number above 0"),
        ({"--temperature": ["inf"]}, 2, "--temperature: inf is not a number above 0"),
        ({"--document-end": ["</s>"]}, 2, "ends documents itself, with </s>"),
        ({"--replay": ["deu_Latn=0.2"]}, 2, "names 'deu_Latn', which has no text"),
        ({"--replay": ["0.2"]}, 2, "--replay: '0.2' is not LANG=SHARE"),
        ({"--replay": ["eng_Latn=1"]}, 2, "--replay: 1.0 is not in (0, 1)"),
        ({"--replay": ["eng_Latn=0"]}, 2, "--replay: 0.0 is not in (0, 1)"),
        ({"--replay": ["eng_Latn=0.2"]}, 2, "every language is replayed, so there is none to learn"),
        ({"--replay": ["eng_Latn=0.2"], "--weight": ["eng_Latn=2"]}, 2, "has a weight, but replay says its share"),
        ({"--text": ["eng_Latn=hub:"]}, 2, "no data set is named"),
        ({"--text": ["eng_Latn=hub:@en#train"]}, 2, "no data set is named"),
        ({"--length": ["4"]}, 2, "--length: 4 is not in [8, 32,767]"),
        ({"--processes": ["0"]}, 2, "--processes: 0 is not a number of 1 or more"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    change, code, message, tokenizer_directory, text_files, tmp_path, capsys
):
    options = {
        "--tokenizer": [str(tokenizer_directory)],
        "--text": [f"eng_Latn={text_files['eng_Latn'][0]}"],
        "--out": [str(tmp_path / "c")],
        **change,
    }
    assert main(["corpus", "prepare", *(word for key, values in options.items() for word in (key, *values))]) == code
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not list(tmp_path.iterdir())


def test_a_language_without_a_document_is_refused(tokenizer_directory, tmp_path):
    (tmp_path / "empty.txt").write_text("\n  \n")
    with pytest.raises(InputError, match=r"eng_Latn: .*no document"):
        prepare(tokenizer_directory, {"eng_Latn": [str(tmp_path / "empty.txt")]}, tmp_path / "c", CorpusSettings())
    assert not (tmp_path / "c").exists()


def test_a_directory_that_holds_something_else_is_kept(tokenizer_directory, text_files, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "precious").write_text("x")
    with pytest.raises(InputError, match="holds something else"):
        prepare(tokenizer_directory, text_files, tmp_path / "c", CorpusSettings())
    assert (tmp_path / "c" / "precious").read_text() == "x"


def test_an_end_that_is_no_token_is_one_line(decoder_directory, text_files, tmp_path):
    with pytest.raises(InputError, match=r"--document-end: the tokenizer has no token '<end>'"):
        prepare(decoder_directory, text_files, tmp_path / "c", CorpusSettings(document_end="<end>"))
    assert not (tmp_path / "c").exists()


def test_paragraphs_are_documents_where_they_are_asked_for(decoder_directory, tmp_path):
    (tmp_path / "a.txt").write_text("one dog\ntwo cats\n\n \nthree birds\n")
    texts = {"eng": [str(tmp_path / "a.txt")]}
    lines = prepare(decoder_directory, texts, tmp_path / "lines", CorpusSettings(length=64))
    parts = prepare(decoder_directory, texts, tmp_path / "parts", CorpusSettings(length=64, document="paragraph"))
    assert (lines.languages[0].documents, parts.languages[0].documents) == (3, 2)
    ids, segments = parts.rows(np.arange(1))
    tokenizer = DocumentTokenizer(decoder_directory).tokenizer
    assert tokenizer.decode(ids[0][segments[0] == 0]) == "one dog\ntwo cats<|endoftext|>"


def test_sampling_is_checked_before_anything_is_read(tokenizer_directory, text_files, tmp_path, monkeypatch):
    monkeypatch.setattr("hyperofa.corpus.prepare.DocumentTokenizer", lambda _: pytest.fail("already at work"))
    with pytest.raises(InputError, match="sampling: "):
        prepare(tokenizer_directory, text_files, tmp_path / "c", CorpusSettings(weight=dict.fromkeys(LINES, 0.0)))
    with pytest.raises(DataMissingError, match=r"last\.txt: no such text file"):
        prepare(tokenizer_directory, {**text_files, "deu_Latn": ["last.txt"]}, tmp_path / "c", CorpusSettings())


@pytest.mark.parametrize(
    ("kind", "typed"),
    [("tokenizer_directory", "</s>"), ("decoder_directory", "<|endoftext|>")],
    ids=["encoder", "decoder"],
)
def test_special_tokens_typed_in_the_text_are_text_and_counted(kind, typed, tmp_path, request, capsys):
    directory = request.getfixturevalue(kind)
    (tmp_path / "eng.txt").write_text(f"the dog {typed} sees\nthe cat\n{typed}{typed}\nthe bird\n")
    words = ["corpus", "prepare", "--tokenizer", str(directory), "--text", str(tmp_path / "eng.txt"), "--length", "64"]
    ends = {}
    for option in ([], ["--read-special-tokens"]):
        out = tmp_path / ("tokens" if option else "text")
        assert main([*words, *option, "--out", str(out), "--json"]) == 0
        captured = capsys.readouterr()
        assert f"eng: 3 special tokens typed in 2 documents, such as {typed!r}, are " in captured.err
        assert json.loads(captured.out)["languages"][0]["typed_special"] == 3
        corpus = PackedCorpus.open(out)
        ids, segments = corpus.rows(np.arange(corpus.n_sequences))
        end = DocumentTokenizer(directory).tokenizer.eos_token_id
        ends[bool(option)] = int(((ids == end) & (segments >= 0)).sum())
    assert ends == {False: 4, True: 7}  # four documents, three typed


def test_text_without_special_tokens_is_not_spoken_of(tokenizer_directory, tmp_path, capsys):
    (tmp_path / "eng.txt").write_text("the dog < / s >\n")
    words = ["--tokenizer", str(tokenizer_directory), "--text", str(tmp_path / "eng.txt"), "--out", str(tmp_path / "c")]
    assert main(["corpus", "prepare", *words, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out)["languages"][0]["typed_special"] == 0
