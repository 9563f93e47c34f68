"""The stage as the command runs it: by default where there is text, for encoders and decoders, recorded and printed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer, BertModel

from hyperofa.cli import main
from hyperofa.data.given_text import part_text, read_given
from hyperofa.errors import InputError
from hyperofa.init import provenance as origin
from hyperofa.init.factorize import factorize
from hyperofa.init.new_rows import ExtendedMatrix, extend_rows
from hyperofa.init.problem import Problem
from hyperofa.init.refine.refining import Learning, Refinement
from hyperofa.init.refine.settings import RefineConfig
from hyperofa.model import load_source

from .conftest import ENGLISH, GERMAN, decoder


@pytest.fixture
def folder(rooms, tmp_path):
    """Aligned text, German text, and the source as a bare encoder and as two decoders."""
    (tmp_path / "par").mkdir()
    for language, lines in (("eng", ENGLISH), ("deu", GERMAN)):
        (tmp_path / "par" / f"{language}.txt").write_text("\n".join(lines) + "\n")
    tokenizer = AutoTokenizer.from_pretrained(rooms / "source")
    bare = load_source(str(rooms / "source")).model
    BertModel(bare.config, add_pooling_layer=False).save_pretrained(tmp_path / "bare")
    decoder(len(tokenizer)).model.save_pretrained(tmp_path / "tied")
    decoder(len(tokenizer), tied=False).model.save_pretrained(tmp_path / "untied")
    for name in ("bare", "tied", "untied"):
        tokenizer.save_pretrained(tmp_path / name)
    return tmp_path


def init(rooms, folder, *more, source=None, out="out"):
    words = [
        "init",
        "--source",
        source or rooms / "source",
        "--tokenizer",
        rooms / "target",
        "--vectors",
        rooms / "vectors",
    ]
    return main([str(word) for word in (*words, "--method", "ofa", "--out", folder / out, *more)])


def record_of(folder, out="out"):
    return json.loads((folder / out / "init.json").read_text())["refine"]


STEPS = ("--refine-option", "steps=12", "--refine-option", "batch_size=8")


@pytest.mark.parametrize(
    ("name", "objective", "unit"),
    [
        ("bare", "sentences", "loss"),
        ("source", "tokens", "nats a token"),
        ("tied", "tokens", "bits per character"),
        ("untied", "tokens", "bits per character"),
    ],
)
def test_with_text_new_rows_learn_by_default(rooms, folder, capsys, name, objective, unit):
    source = rooms / "source" if name == "source" else folder / name
    rank = ("--rank", "8") if name in {"bare", "tied"} else ()
    given = ("--parallel", folder / "par", *STEPS, *rank)
    assert init(rooms, folder, *given, source=source) == 0
    record = record_of(folder)
    assert (record["objective"], record["held_out"]["unit"], record["steps_done"]) == (objective, unit, 12)
    assert record["held_out"]["chosen"] < record["held_out"]["start"]
    assert record["texts"]["deu"] > 50
    told = capsys.readouterr()
    assert f"learned from {objective}" in " ".join(told.out.split())
    assert f"step {record['chosen_step']}," in " ".join(told.err.split())
    assert init(rooms, folder, "--refine", "none", *given[:2], *rank, source=source, out="plain") == 0
    assert record_of(folder, "plain") is None
    codes = origin.Provenance.load(folder / "out").code
    kind = AutoModelForCausalLM if name.endswith("tied") else AutoModelForMaskedLM
    models = [kind.from_pretrained(folder / out) for out in ("out", "plain")]
    for side in ("get_input_embeddings", "get_output_embeddings"):
        weights = [getattr(model, side)() for model in models]
        rows = [(w.coordinates if hasattr(w, "coordinates") else w.weight).detach() for w in weights]
        moved = (rows[0] != rows[1]).any(dim=1).numpy()
        assert not moved[(codes == origin.COPIED) | (codes == origin.SPECIAL)].any()
        assert moved[codes == origin.PREDICTED].any()


def test_text_alone_is_enough(rooms, folder):
    """German is nothing but unknown tokens to a bare encoder: nothing teaches it, and the record says so."""
    assert init(rooms, folder, "--text", f"deu={folder / 'par' / 'deu.txt'}", source=folder / "bare") == 0
    assert record_of(folder) is None
    text = ("--text", f"deu={folder / 'par' / 'deu.txt'}", *STEPS)
    assert init(rooms, folder, *text, source=folder / "tied", out="decoder") == 0
    assert record_of(folder, "decoder")["texts"].keys() == {"deu"}


@pytest.mark.parametrize("name", ["bare", "tied", "untied"])
def test_without_new_tokens_nothing_learns(folder, name):
    """A trimmed tokenizer has no new tokens; text and parallel text may be given all the same."""
    texts = ["--text", f"deu={folder / 'par' / 'deu.txt'}", "--parallel", folder / "par"]
    words = ["init", "--source", folder / name, "--tokenizer", folder / name, *texts, "--out", folder / "out", *STEPS]
    assert main([str(word) for word in words]) == 0
    record = json.loads((folder / "out" / "init.json").read_text())
    assert record["counts"]["predicted"] == record["counts"]["drawn"] == 0
    before, after = (load_source(str(folder / place)).input_embeddings for place in (name, "out"))
    assert torch.equal(before, after[: len(before)])


def test_text_too_short_to_keep_lines_out_teaches_nothing(rooms, folder, capsys):
    (folder / "few.txt").write_text("\n".join(GERMAN[:5]))
    assert init(rooms, folder, "--text", f"deu={folder / 'few.txt'}") == 0
    assert record_of(folder) is None
    assert "new rows do not learn" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--refine", "sentences"], "--refine: sentences needs text or parallel text; name its files"),
        (["--refine", "paralel", "--parallel", "P"], "--refine: unknown 'paralel'"),
        (["--parallel", "P", "--refine-option", "stepps=3"], "did you mean 'steps'"),
        (["--parallel", "P", "--refine-option", "steps=0"], "steps: 0"),
        (["--refine", "sentences", "--parallel", "P", "--refine-option", "pivot=fra"], "no text in fra"),
        (["--parallel", "P", "--refine-option", "layer=9"], "none is number 9"),
    ],
)
def test_wrong_input_is_one_line(rooms, folder, capsys, more, message):
    words = [folder / "par" if word == "P" else word for word in more]
    assert init(rooms, folder, *words) == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.count("\n") == 1
    assert not (folder / "out").exists()


@pytest.mark.parametrize("name", ["tied", "untied"])
def test_a_decoder_has_no_sentence_vectors_to_learn_from(rooms, folder, capsys, name):
    assert init(rooms, folder, "--refine", "sentences", "--parallel", folder / "par", source=folder / name) == 2
    line = capsys.readouterr().err
    assert "its sentence vectors were never trained; leave --refine out" in line
    assert line.count("\n") == 1
    assert not (folder / "out").exists()


@pytest.mark.parametrize("name", ["bare", "tied", "untied"])
def test_the_judge_is_the_figure_that_the_learning_starts_from(rooms, folder, name):
    source = load_source(str(folder / name))
    tokenizers = tuple(AutoTokenizer.from_pretrained(rooms / side) for side in ("source", "target"))
    size = len(tokenizers[1])
    code = np.full(size, origin.COPIED, dtype=np.int8)
    code[5:12], code[12:15], code[:5] = origin.PREDICTED, origin.DRAWN, origin.SPECIAL
    source_id = np.where(np.isin(code, (origin.PREDICTED, origin.DRAWN)), -1, np.arange(size) % len(tokenizers[0]))
    found = origin.Provenance(code, source_id, np.zeros(size, dtype=np.int32), np.zeros(size, dtype=np.int8))
    factors = factorize(source.input_embeddings.numpy(), rank=8)
    predicted = np.flatnonzero(code == origin.PREDICTED)
    words, vectors = csr_matrix((size, 0), dtype=np.float32), np.zeros((0, 1), dtype=np.float32)
    problem = Problem(factors.coordinates, vectors, words, words, source_id, predicted, np.arange(len(source_id)))
    given = read_given({}, [folder / "par"], 0)
    refinement = Refinement("auto", RefineConfig(steps=1, batch_size=8), source, given)
    learning = Learning(refinement, tokenizers, len(tokenizers[0]), found, 0)
    judge = learning.judge(problem, factors)
    rng = np.random.default_rng(0)
    rows = factors.coordinates[rng.integers(0, len(tokenizers[0]), len(predicted))]
    figure = judge(rows)
    assert figure == judge(rows)
    assert figure != judge(100 * rows)
    if name != "untied":
        whole = extend_rows(problem, found, rows, 0)
        _, record = learning.learn([(ExtendedMatrix(whole, factors, {}), problem)], None)
        assert record["held_out"]["start"] == pytest.approx(figure, abs=1e-4)


def test_a_refinement_without_the_pivot_is_refused_before_any_work(rooms, folder):
    (folder / "par" / "eng.txt").rename(folder / "par" / "fra.txt")
    given = read_given({}, [folder / "par"], 0)
    bare = load_source(str(folder / "bare"))
    with pytest.raises(InputError, match="no text in eng"):
        Refinement("auto", RefineConfig(), bare, given)
    assert Refinement("tokens", RefineConfig(), bare, part_text(given.learn, 0)).kind == "tokens"
    assert torch.get_default_dtype() == torch.float32
