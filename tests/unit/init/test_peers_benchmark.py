"""The benchmarks of other packages and of the published method: what is refused, handed over, compared and kept."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hyperofa.init.provenance import Provenance
from hyperofa.vectors.store import write_store
from tests.unit.init.conftest import word_vectors

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "init"


def loaded(name: str):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def peers():
    sys.path.insert(0, str(FOLDER))
    yield loaded("peers")
    sys.path.remove(str(FOLDER))


@pytest.fixture
def words(rooms, tmp_path):
    (tmp_path / "data" / "tatoeba").mkdir(parents=True)
    named = {
        "source": rooms / "source",
        "tokenizer": rooms / "target",
        "data": tmp_path / "data",
        "work": tmp_path / "w",
    }
    return {f"--{name}": str(folder) for name, folder in named.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--source": "none"}, "--source none: no config.json in it"),
        ({"--tokenizer": "none"}, "no tokenizer.json in it"),
        ({"--data": "none"}, "no tatoeba in it"),
        ({"--donor": "none"}, "--donor none: no config.json in it"),
        ({"--peers": "mergekit-omp"}, "mergekit needs a donor"),
        ({"--ours": "omp:growth=0"}, "omp needs a donor"),
        ({"--peers": "zett"}, "invalid choice: 'zett'"),
        ({"--source": "GPT"}, "a gpt2, not a bert"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(peers, words, tmp_path, capsys, monkeypatch, change, message):
    (tmp_path / "gpt").mkdir()
    (tmp_path / "gpt" / "config.json").write_text('{"model_type": "gpt2"}')
    given = words | {key: value.replace("GPT", str(tmp_path / "gpt")) for key, value in change.items()}
    monkeypatch.setattr(sys, "argv", ["peers.py", *(word for pair in given.items() for word in pair)])
    with pytest.raises(SystemExit) as caught:
        peers.main()
    assert caught.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "w").exists()


def test_the_packages_are_given_words_counts_and_token_vectors(peers, words, rooms, tmp_path):
    (tmp_path / "w" / "parallel").mkdir(parents=True)
    (tmp_path / "w" / "parallel" / "eng.tsv").write_text("N1\ta dog\nN2\tthe cat\n")
    keys, vectors = word_vectors()
    counts = np.arange(1, len(keys) + 1)
    write_store(tmp_path / "vectors", keys, vectors, {}, dtype="float32", counts=counts)
    asked = argparse.Namespace(
        source=rooms / "source", tokenizer=rooms / "target", donor=None, language="eng", work=tmp_path / "w"
    )
    folder = peers.prepare(asked, tmp_path / "w" / "parallel", tmp_path / "vectors")
    lines = [line.split("\t") for line in (folder / "words.tsv").read_text().splitlines()]
    assert [f"{language}:{word}" for language, word, _ in lines] == keys
    assert [int(count) for *_, count in lines] == counts.tolist()
    np.testing.assert_array_equal(np.load(folder / "vectors.npy"), vectors)
    lengths = np.linalg.norm(np.load(folder / "token_vectors.npy"), axis=1)
    assert set(np.round(lengths, 5)) == {0.0, 1.0}
    assert (folder / "text.txt").read_text() == "a dog\nthe cat\n"
    assert json.loads((folder / "input.json").read_text())["language"] == "eng"
    write_store(tmp_path / "old", keys, vectors, {})
    with pytest.raises(SystemExit, match="no counts"):
        peers.prepare(argparse.Namespace(work=tmp_path / "other"), tmp_path, tmp_path / "old")


def test_rows_are_compared_where_ours_are_predicted(peers, tmp_path):
    rows = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    (tmp_path / "model").mkdir()
    save_file({"bert.embeddings.word_embeddings.weight": rows}, tmp_path / "model" / "model.safetensors")
    code = np.array([0, 1, 2, 2, 2, 3], dtype=np.int8)
    Provenance(code, np.full(6, -1), np.zeros(6, dtype=np.int32)).save(tmp_path / "model")
    theirs = rows.copy()
    theirs[[0, 1, 5]] += 9  # not predicted
    theirs[3, 1] += 1e-7
    theirs[4, 2] += 0.5
    np.save(tmp_path / "rows.npy", theirs)
    found = peers.apart(tmp_path / "model", tmp_path / "rows.npy")
    assert (found["tokens"], found["equal"]) == (3, 2)
    assert found["largest"] == pytest.approx(0.5, abs=1e-6)


def test_a_command_is_measured_and_its_failure_is_one_line(peers, tmp_path):
    cost = peers.measured([sys.executable, "-S", "-c", "x = b'1' * 50_000_000"], {}, tmp_path / "log")
    assert 0 <= cost["seconds"] < 60
    assert cost["peak_gb"] > 0.04  # the system counts what the caller had when it started the command
    with pytest.raises(SystemExit, match=r"log: ended with 1: ValueError: no words") as caught:
        peers.measured([sys.executable, "-S", "-c", "raise ValueError('no words')"], {}, tmp_path / "log")
    assert "\n" not in str(caught.value)


class TestPublishedMethod:
    @pytest.fixture
    def published(self, peers):
        return loaded("published_method")

    def test_it_goes_on_from_the_epochs_before_and_scores_what_there_is(
        self, published, rooms, tmp_path, monkeypatch, capsys
    ):
        words = ["published_method.py", "--source", rooms / "source", "--tokenizer", rooms / "target", "--rank", 4]
        words += ["--vectors", rooms / "vectors", "--data", tmp_path, "--work", tmp_path / "w", "--beside"]
        monkeypatch.setattr(published, "score", lambda asked, method, name, options: options["epochs"])
        (tmp_path / "w" / "hyperofa-2" / "model").mkdir(parents=True)
        note = {"report": {"parameters": 7, "held_out_cosine": 0.1}}
        record = {"method_notes": {"hypernetwork": note}}
        (tmp_path / "w" / "hyperofa-2" / "model" / "init.json").write_text(json.dumps(record))
        from hyperofa.init.methods import hyperofa as method

        sizes = method.paper_setting

        def small(pairs, rank, settings=None):
            network, fit = sizes(pairs, 100, method.HyperofaSettings(hidden=4, layers=1, epochs=2))
            return network, fit

        monkeypatch.setattr(method, "paper_setting", small)
        monkeypatch.setattr(sys, "argv", [str(word) for word in [*words, "--seconds", 100]])
        assert published.main() == 0
        *curve, last = capsys.readouterr().out.splitlines()
        found = json.loads(last)
        assert (found["epochs"], found["of"], found["sr_t_top10"]) == (2, 2, {"hyperofa": 2})
        assert len(curve) == 2
        before = (tmp_path / "w" / published.STATE).read_bytes()
        monkeypatch.setattr(sys, "argv", [str(word) for word in [*words, "--seconds", 0]])
        assert published.main() == 0
        assert (tmp_path / "w" / published.STATE).read_bytes() == before

    def test_time_ends_in_the_middle(self, published):
        with pytest.raises(published.TimeUp), published.limited(0.05):
            time.sleep(20)
        with published.limited(50):
            pass

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (("--vectors", "none"), "no meta.json in it"),
            (("--seconds", "-1"), "below 0"),
            (("--rank", "x"), "invalid int"),
        ],
    )
    def test_wrong_input_is_refused(self, published, rooms, tmp_path, monkeypatch, capsys, change, message):
        given = {"--source": rooms / "source", "--tokenizer": rooms / "target", "--vectors": rooms / "vectors"}
        given |= {"--data": tmp_path, "--work": tmp_path / "w", change[0]: change[1]}
        monkeypatch.setattr(
            sys, "argv", ["published_method.py", *(str(word) for pair in given.items() for word in pair)]
        )
        with pytest.raises(SystemExit):
            published.main()
        assert message in capsys.readouterr().err.splitlines()[-1]
        assert not (tmp_path / "w").exists()


def test_batches_of_an_interrupted_run_are_taken_over(tmp_path):
    import torch

    driver, made = loaded("peer_driver"), []

    def compute(number):
        if number == 2 and len(made) < 3:
            made.append("interrupted")
            raise KeyboardInterrupt
        made.append(number)
        return torch.full((2, 3), float(number))

    first = driver.kept(compute, tmp_path)
    first(0), first(1)
    with pytest.raises(KeyboardInterrupt):
        first(2)
    again = driver.kept(compute, tmp_path)
    assert [again(number)[0, 0].item() for number in range(3)] == [0, 1, 2]
    assert made == [0, 1, "interrupted", 2]
    assert len(driver.BEFORE) == 2


def test_equal_spellings_of_two_languages_are_one_word_at_the_mean_by_counts(monkeypatch):
    class Model:
        """What of gensim's Word2Vec is used, with its order: the most frequent word first."""

        def __init__(self, **_):
            self.wv = argparse.Namespace()

        def build_vocab_from_freq(self, totals):
            self.totals = totals
            self.wv.index_to_key = sorted(totals, key=lambda word: -totals[word])

    monkeypatch.setitem(sys.modules, "gensim", argparse.Namespace())
    monkeypatch.setitem(sys.modules, "gensim.models", argparse.Namespace(Word2Vec=Model))
    words, vectors = ["die", "dog", "die"], np.array([[1.0, 0.0], [0.0, 1.0], [4.0, 0.0]])
    both = loaded("peer_driver").word2vec(["eng", "eng", "deu"], words, np.array([1, 5, 2]), vectors, None)
    assert both.totals == {"die": 3, "dog": 5}
    np.testing.assert_allclose(both.wv.vectors, [[0, 1], [3, 0]])
    english = loaded("peer_driver").word2vec(["eng", "eng", "deu"], words, np.array([1, 5, 2]), vectors, "eng")
    assert english.totals == {"die": 1, "dog": 5}


def test_focus_works_in_parts_that_are_kept(tmp_path, monkeypatch):
    import torch

    driver, seen = loaded("peer_driver"), []

    def initialise(shared, new, rows, *, device):
        seen.append(list(new))
        for name, token in new.items():
            rows[token.target.id] = len(name)
        return rows

    def whole(target, source, matrix, **_):
        new = {"x" * i: argparse.Namespace(target=argparse.Namespace(id=i)) for i in (1, 3, 4, 2, 6)}
        return focus.focus_additional_token_initialization({}, new, torch.zeros(7, 2), device="cpu")

    focus = argparse.Namespace(focus_additional_token_initialization=initialise, FOCUS=whole)
    monkeypatch.setitem(sys.modules, "deepfocus", argparse.Namespace(focus=focus))
    monkeypatch.setattr(driver, "read_tokenizer", lambda folder: argparse.Namespace(get_vocab=dict))
    monkeypatch.setattr(driver, "read_embeddings", lambda folder: np.zeros((3, 2), dtype=np.float32))
    monkeypatch.setattr(driver, "PART", 2)
    asked = {"source": "s", "tokenizer": "t"}
    expected = [[i if i in (1, 2, 3, 4, 6) else 0] * 2 for i in range(7)]
    for parts in (3, 0):  # the second time all parts are there
        focus.focus_additional_token_initialization = initialise
        seen.clear()
        assert driver.run_focus(asked, tmp_path, tmp_path, own=True)().tolist() == expected
        assert len(seen) == parts
