"""Refinement: what moves and what does not, the losses by hand, spans, interruption, and the whole command."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from hyperofa.cli import main
from hyperofa.data.parallel import ParallelText
from hyperofa.errors import HyperofaError, InputError
from hyperofa.init import provenance as origin
from hyperofa.init.refine.body import Body
from hyperofa.init.refine.distill import Distill, common_spans, span_means
from hyperofa.init.refine.learn import refine
from hyperofa.init.refine.learned_rows import LearnedRows, Start
from hyperofa.init.refine.sentences import Draws
from hyperofa.init.refine.settings import RefineConfig
from hyperofa.init.refine.translations import Parallel, parallel_loss
from hyperofa.model import load_source

ENGLISH = ["dog walk", "red house", "cat water", "sun moon", "red dog", "tree house", "fire water", "walk cat"]
GERMAN = ["hund walk", "rot haus", "katze wasser", "sun mond", "rot hund", "baum haus", "feuer wasser", "walk katze"]
TEXT = ParallelText({"eng": dict(enumerate(ENGLISH)), "deu": dict(enumerate(GERMAN))}, len(ENGLISH))
SETTINGS = RefineConfig(steps=30, batch_size=8, learning_rate=0.3, shared_rate=0.1, warmup=0.1)
CPU = torch.device("cpu")


@pytest.fixture
def parts(rooms):
    """Source, both tokenizers, and a start of random rows of which those of new tokens may move."""
    source = load_source(str(rooms / "source"))
    tokenizers = [AutoTokenizer.from_pretrained(rooms / name) for name in ("source", "target")]
    size = len(tokenizers[1])
    rng = np.random.default_rng(0)
    movable = np.zeros(size, dtype=bool)
    movable[7:15] = True
    start = Start(
        rows=rng.normal(0, 0.02, (size, 16)).astype(np.float32),
        primitives=None,
        movable=movable,
        scale=np.full(16, 0.02, dtype=np.float32),
        predicted_ids=np.array([7, 8, 9, 20]),
        predicted_vectors=rng.normal(size=(4, 5)).astype(np.float32),
    )
    return source, tokenizers, start


def parallel(parts, config=SETTINGS, seed=0, text=TEXT):
    return Parallel(text, *parts[1], config, seed)


def run(parts, objective, config=SETTINGS, checkpoint=None):
    rows, record = refine(parts[2], objective, Body(parts[0], None, CPU), config, seed=0, checkpoint=checkpoint)
    return rows[:], record


def test_only_new_rows_move_and_the_body_does_not(parts):
    source, _, start = parts
    before = {name: value.clone() for name, value in source.model.state_dict().items()}
    rows, record = run(parts, parallel(parts))
    moved = np.abs(rows - start.rows[:]).max(axis=1) > 0
    assert moved[:7].sum() == 0
    assert moved[13:20].sum() == 0  # 13 and 14 may move, but are not in the text
    assert moved[7:13].all()
    assert record["tokens_learned"] == 6
    assert all(torch.equal(value, before[name]) for name, value in source.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in source.model.parameters())
    assert record["loss_last"] < record["loss_first"]


def test_the_shared_map_reaches_tokens_that_are_not_in_the_text(parts):
    rows, _ = run(parts, parallel(parts))
    assert np.abs(rows[20] - parts[2].rows[20]).max() > 0
    without, _ = run(parts, parallel(parts), dataclasses.replace(SETTINGS, shared_rate=0.0))
    np.testing.assert_array_equal(without[20], parts[2].rows[20])


def test_rows_are_start_plus_scaled_change(parts):
    start = parts[2]
    used = np.array([0, 5, 7, 9, 12])
    rows = LearnedRows(start, used)
    with torch.no_grad():
        rows.own[1:] = torch.randn(3, 16)
        rows.shared.copy_(torch.randn(5, 16))
    expected = start.rows[:].copy()
    for place, token in enumerate((7, 9, 12)):
        change = rows.own[place + 1].detach().numpy()
        vector = start.predicted_vectors[list(start.predicted_ids).index(token)] if token != 12 else np.zeros(5)
        expected[token] += 0.02 * (change + vector @ rows.shared.detach().numpy())
    ids = torch.tensor([[0, 7, 12], [9, 5, 9]])
    np.testing.assert_allclose(rows(ids).detach().numpy(), expected[ids.numpy()], atol=1e-6)
    np.testing.assert_allclose(rows.refined(start)[used], expected[used], atol=1e-6)


def test_a_share_of_the_change_lies_between_start_and_end(parts):
    start = parts[2]
    whole, _ = run(parts, parallel(parts), dataclasses.replace(SETTINGS, mix=1.0))
    some, record = run(parts, parallel(parts), dataclasses.replace(SETTINGS, mix=0.25))
    assert np.abs(whole - start.rows[:]).max() > 0
    np.testing.assert_allclose(some, start.rows[:] + 0.25 * (whole - start.rows[:]), atol=1e-6)
    assert record["mix"] == 0.25
    assert (RefineConfig().share_taken, RefineConfig(kind="distill").share_taken) == (0.35, 1.0)
    for wrong in (0.0, -0.5, 1.5, float("nan")):
        with pytest.raises(InputError, match="is not in"):
            RefineConfig(mix=wrong)


def test_gradients_are_of_the_batch_alone(parts):
    rows = LearnedRows(parts[2], np.arange(20))
    rows(torch.tensor([[0, 7, 9]])).sum().backward()
    assert rows.own.grad.is_sparse
    assert set(rows.own.grad.coalesce().indices()[0].tolist()) == {1, 3}


def test_two_runs_are_equal_and_an_interrupted_one_ends_where_it_would(parts, tmp_path, monkeypatch):
    import hyperofa.init.refine.learn as loop

    monkeypatch.setattr(loop, "_SAVE_EVERY", 10)
    straight, record = run(parts, parallel(parts))
    again, _ = run(parts, parallel(parts))
    np.testing.assert_array_equal(straight, again)

    class Stopping(Parallel):
        def loss(self, rows, body, step):
            if step == 17:
                raise KeyboardInterrupt
            return super().loss(rows, body, step)

    with pytest.raises(KeyboardInterrupt):
        run(parts, Stopping(TEXT, *parts[1], SETTINGS, 0), checkpoint=tmp_path)
    assert len(json.loads((tmp_path / "refine.json").read_text())["losses"]) == 10
    resumed, second = run(parts, parallel(parts), checkpoint=tmp_path)
    np.testing.assert_array_equal(resumed, straight)
    assert second["loss_last"] == record["loss_last"]


@pytest.mark.parametrize("kind", ["parallel", "distill"])
@pytest.mark.parametrize("changed", ["texts", "body", "primitives", "vectors", "nothing"])
def test_a_state_made_from_other_input_is_not_taken_over(parts, tmp_path, kind, changed):
    source, tokenizers, start = parts
    start = dataclasses.replace(start, primitives=np.eye(16, dtype=np.float32))
    config = dataclasses.replace(SETTINGS, kind=kind, steps=3)
    texts = {lang: list(lines.values()) for lang, lines in TEXT.texts.items()}

    def refined(texts, start):
        objective = (
            Parallel(ParallelText({k: dict(enumerate(v)) for k, v in texts.items()}, 8), *tokenizers, config, 0)
            if kind == "parallel"
            else Distill(texts, *tokenizers, config, 0)
        )
        return refine(start, objective, Body(source, None, CPU), config, seed=0, checkpoint=tmp_path)

    refined(texts, start)
    if changed == "texts":  # the same words in the same numbers, aligned otherwise
        texts["deu"] = texts["deu"][::-1]
    elif changed == "body":
        with torch.no_grad():
            source.model.base_model.encoder.layer[0].output.dense.bias.add_(1)
    elif changed == "primitives":
        start = dataclasses.replace(start, primitives=2 * start.primitives)
    elif changed == "vectors":
        start = dataclasses.replace(start, predicted_vectors=-start.predicted_vectors)
    key = json.loads((tmp_path / "refine.json").read_text())["key"]
    refined(texts, start)
    same = json.loads((tmp_path / "refine.json").read_text())["key"] == key
    assert same == (changed == "nothing")


def test_parallel_loss_by_hand():
    rng = np.random.default_rng(0)
    vectors, targets, answers = rng.normal(size=(3, 4)), rng.normal(size=(5, 4)), np.array([4, 0, 4])
    expected = 0.0
    lengths = np.linalg.norm(targets, axis=1)
    for i, answer in enumerate(answers):
        cosines = [vectors[i] @ t / np.linalg.norm(vectors[i]) / np.linalg.norm(t) for t in targets]
        expected += math.log(sum(math.exp(c / 0.1) for c in cosines)) - cosines[answer] / 0.1
        longer = (np.linalg.norm(vectors[i]) - lengths[answer]) / lengths.mean()
        expected += 0.3 * (1 - cosines[answer] + longer**2)
    found = parallel_loss(*map(torch.tensor, (vectors, targets, answers)), temperature=0.1, pull=0.3)
    assert float(found) == pytest.approx(expected / 3)


def test_the_block_is_left_where_it_ends(parts):
    """Leaving the forward pass early gives what transformers calls ``hidden_states[1]``."""
    source = parts[0]
    ids = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    source.model.eval()
    with torch.no_grad():
        whole = source.model.base_model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    for layer in (1, 2):
        torch.testing.assert_close(Body(source, layer, CPU).source_states(ids, mask), whole[layer])
    with pytest.raises(InputError, match="has 2 blocks, so none is number 3"):
        Body(source, 3, CPU)


def test_spans_end_where_both_tokenizers_cut():
    #  text: "ab cd ef"; ours cuts ab| cd| ef, theirs a|b| c|d| ?
    ours, theirs = np.array([0, 2, 5, 8, 0]), np.array([0, 1, 2, 4, 5, 8, 0])
    unknown = np.array([False] * 5 + [True, False])
    target, source = common_spans(ours, theirs, unknown)
    assert target.tolist() == [-1, 0, 1, -1, -1]
    assert source.tolist() == [-1, 0, 0, 1, 1, -1, -1]
    # the first span holds what the source does not know: the second becomes number 0
    target, source = common_spans(ours, theirs, np.array([False, True] + [False] * 5))
    assert target.tolist() == [-1, -1, 0, 1, -1]
    assert source.tolist() == [-1, -1, -1, 0, 0, 1, -1]


def test_span_means_are_means_of_the_spans_states():
    states = torch.randn(2, 4, 3)
    found = span_means(states, [np.array([-1, 0, 0, 1]), np.array([0, -1, 1])])
    expected = [states[0, 1:3].mean(0), states[0, 3], states[1, 0], states[1, 2]]
    torch.testing.assert_close(found, torch.stack(expected))


def test_distillation_learns_what_the_old_tokens_say(parts):
    """Rows of new tokens that only the old tokenizer's pieces can teach come nearer to the source's states."""
    config = dataclasses.replace(SETTINGS, kind="distill", shared_rate=0.0, steps=80)
    parts[2].movable[5:] = True
    texts = {"eng": [f"{a} {b}" for a in ("dogs", "walking", "house") for b in ("water", "fire", "red")]}
    objective = Distill(texts, *parts[1], config, 0)
    rows, record = run(parts, objective, config)
    assert record["loss_last"] < 0.75 * record["loss_first"]
    np.testing.assert_array_equal(rows[:5], parts[2].rows[:5])


def test_distillation_of_what_the_source_cannot_spell_is_refused(parts):
    with pytest.raises(InputError, match="can spell nothing"):
        Distill({"kat": ["მთავრობა"]}, *parts[1], RefineConfig(kind="distill"), 0)


def test_draws_are_functions_of_seed_and_step_and_even_out_languages():
    groups = np.repeat([0, 1], [900, 100])
    lengths = np.random.default_rng(0).integers(3, 50, 1000)
    one, two = (Draws(groups, lengths, 16, 5, smoothing=0.5) for _ in range(2))
    batches = [one.batch(step) for step in range(64)]
    np.testing.assert_array_equal(two.batch(40), batches[40])
    share = (groups[np.concatenate(batches)] == 1).mean()
    assert share == pytest.approx(0.25, abs=0.05)  # sqrt(100) / (sqrt(100) + sqrt(900))
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < 12  # of 47


def test_the_rate_rises_and_falls():
    config = RefineConfig(steps=100, warmup=0.1)
    rates = [config.rate(step) for step in range(100)]
    assert rates.index(max(rates)) == 10
    assert rates[0] < 0.2
    assert 0 < rates[-1] < 0.02


def test_a_loss_that_is_not_finite_ends_it(parts):
    start = dataclasses.replace(parts[2], rows=np.full_like(parts[2].rows, np.nan))
    with pytest.raises(HyperofaError, match="lower learning_rate"):
        refine(start, parallel(parts), Body(parts[0], None, CPU), SETTINGS, seed=0)


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "par").mkdir()
        for language, lines in (("eng", ENGLISH), ("deu", GERMAN)):
            (tmp_path / "par" / f"{language}.txt").write_text("\n".join(lines) + "\n")
        return tmp_path

    def arguments(self, rooms, folder, *more, out="out"):
        words = ["init", "--source", rooms / "source", "--tokenizer", rooms / "target", "--vectors", rooms / "vectors"]
        words += ["--method", "ofa", "--rank", "8", "--out", folder / out, *more]
        return [str(word) for word in words]

    @pytest.mark.parametrize("kind", ["parallel", "distill"])
    def test_it_is_named_in_the_record_and_on_the_screen(self, rooms, folder, capsys, kind):
        more = ["--refine", kind, "--parallel", folder / "par", "--refine-option", "steps=4"]
        assert main(self.arguments(rooms, folder, *more)) == 0
        assert f"refined: {kind}" in " ".join(capsys.readouterr().out.split())
        record = json.loads((folder / "out" / "init.json").read_text())
        assert record["refine"]["kind"] == kind
        assert record["refine"]["texts"]["eng"] == len(ENGLISH)
        plain = self.arguments(rooms, folder, out="plain")
        assert main(plain) == 0
        assert json.loads((folder / "plain" / "init.json").read_text())["refine"] is None
        codes = origin.Provenance.load(folder / "out").code
        rows = [
            (e.coordinates @ e.primitives).detach()
            for e in (AutoModelForMaskedLM.from_pretrained(folder / n).get_input_embeddings() for n in ("out", "plain"))
        ]
        same = (rows[0] == rows[1]).all(dim=1).numpy()
        assert same[(codes == origin.COPIED) | (codes == origin.SPECIAL)].all()
        assert not same[codes == origin.PREDICTED].any()

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--refine", "parallel"], "needs parallel text to learn from; name its files"),
            (["--refine", "distill"], "needs text"),
            (["--refine-option", "steps=3"], "add refine"),
            (["--refine", "parallel", "--parallel", "P", "--refine-option", "stepps=3"], "did you mean 'steps'"),
            (["--refine", "parallel", "--parallel", "P", "--refine-option", "steps=0"], "steps: 0"),
            (["--refine", "parallel", "--parallel", "P", "--refine-option", "pivot=fra"], "no text in fra"),
            (["--refine", "parallel", "--parallel", "P", "--refine-option", "layer=9"], "none is number 9"),
        ],
    )
    def test_wrong_input_is_one_line(self, rooms, folder, capsys, more, message):
        words = [str(folder / "par") if word == "P" else word for word in more]
        assert main(self.arguments(rooms, folder, *words)) == 2
        line = capsys.readouterr().err
        assert message in line
        assert line.count("\n") == 1
        assert not (folder / "out").exists()
