"""The rows and biases of extended models over sources of different kinds: id 0, padded matrices, untied heads, folding."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from hyperofa.cli import main
from hyperofa.init import provenance as origin
from tests.unit.init.conftest import WORDS, asked, unigram_tokenizer, wordpiece_tokenizer, written

PADDED = 7
"""Rows beyond the tokenizer, which hold numbers that no statistic may take in."""
COPIED = ("▁dog", "▁cat", "▁walk", "s", "▁1")
PREDICTED = ("▁hund", "▁katze", "▁haus", "▁rot", "▁wasser", "▁feuer")
DRAWN = ("▁zzz",)


def ordinary_first() -> PreTrainedTokenizerFast:
    """A tokenizer whose token 0 is a word: a map that is tested for truth loses it."""
    pieces = [*(f"▁{word}" for word in WORDS["eng"]), "s", "▁1", *"▁abcdefghiklmnoprtuwxyz", "<unk>", "<end>"]
    scores = [(piece, -2.0 if len(piece) > 1 else -9.0) for piece in dict.fromkeys(pieces)]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=len(scores) - 2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<end>", bos_token="<end>")


SMALL = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
}


def bert(size: int):
    made = BertForMaskedLM(BertConfig(vocab_size=size, pad_token_id=0, **SMALL))
    with torch.no_grad():
        made.cls.predictions.bias.copy_(torch.linspace(-1, 1, size))
        made.cls.predictions.bias[-PADDED:] = -50
    return made


def gpt2(size: int):
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=size, n_positions=32, n_embd=16, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=None
        )
    )


def llama(size: int):
    return LlamaForCausalLM(LlamaConfig(vocab_size=size, tie_word_embeddings=False, **SMALL))


SOURCES = {
    "bert": (wordpiece_tokenizer, bert, {"▁dog": "dog", "s": "##s", "<s>": "[CLS]", "<pad>": "[PAD]"}),
    "llama": (unigram_tokenizer, llama, {"▁dog": "▁dog", "s": "s", "<s>": "<s>", "<pad>": "<pad>"}),
    "gpt2": (ordinary_first, gpt2, {"▁dog": "▁dog", "s": "s", "</s>": "<end>"}),
}


@pytest.fixture(params=list(SOURCES))
def made(request, rooms, tmp_path):
    """(source model, its tokenizer, pairs that are one token, folder to write, function that initialises)."""
    make_tokenizer, make_model, pairs = SOURCES[request.param]
    tokenizer = make_tokenizer()
    if request.param == "llama":  # the source must lack what is to be predicted
        tokenizer = unigram_tokenizer(["▁dog", "▁cat", "s", "▁1", "▁walk", "▁house", "▁sun"])
    torch.manual_seed(0)
    model = make_model(len(tokenizer) + PADDED)
    for matrix in {model.get_input_embeddings().weight, model.get_output_embeddings().weight}:
        with torch.no_grad():
            matrix[-PADDED:] = 100
    model.save_pretrained(tmp_path / "source")
    tokenizer.save_pretrained(tmp_path / "source")

    def init(method: str, **settings):
        given = (str(tmp_path / "source"), rooms / "target", rooms / "vectors", tmp_path / "out", method)
        return written(asked(*given, **settings))

    return model, tokenizer, pairs, tmp_path / "out", init


def loaded(folder):
    kind = (
        AutoModelForCausalLM if "Causal" in (text := (folder / "config.json").read_text()) or "LMHead" in text else None
    )
    return (kind or AutoModelForMaskedLM).from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def test_rows_bias_and_provenance_of_every_token(made, tmp_path):
    old, source, pairs, out, init = made
    mean = tmp_path / "mean.py"
    mean.write_text(
        "import numpy as np\nfrom hyperofa.init.registry import Method\n"
        "rows = lambda p: np.tile(p.rows.mean(axis=0), (len(p.predict_ids), 1))\n"
        "mean = Method('mean', 'of tokens with words', rows, rest='drawn')\n"
    )
    record = init(f"{mean}:mean")
    new, target = loaded(out)
    found = origin.Provenance.load(out)
    ids = target.get_vocab()
    names = {token: origin.NAMES[found.code[i]] for token, i in ids.items()}
    assert {names[token] for token in COPIED} == {"copied"}
    assert {names[token] for token in PREDICTED} == {"predicted"}
    assert {names[token] for token in DRAWN} == {"drawn"}
    for mine, theirs in pairs.items():
        assert found.source_id[ids[mine]] == source.convert_tokens_to_ids(theirs)
    assert 0 in found.source_id
    assert record["head"]["tied"] == (old.get_output_embeddings().weight is old.get_input_embeddings().weight)

    copied = found.source_id >= 0
    for part in ("get_input_embeddings", "get_output_embeddings"):
        before = getattr(old, part)().weight.detach().numpy()[: len(source)]
        after = getattr(new, part)().weight.detach().numpy()
        np.testing.assert_array_equal(after[copied], before[found.source_id[copied]])
        predicted = after[found.code == origin.PREDICTED]
        np.testing.assert_allclose(predicted, np.broadcast_to(before.mean(axis=0), predicted.shape), atol=1e-6)
        drawn = after[(found.code == origin.DRAWN) | (~copied & (found.code == origin.SPECIAL))]
        assert np.abs(drawn - before.mean(axis=0)).max() < 6 * before.std(axis=0).max()
        assert len(np.unique(drawn, axis=0)) == len(drawn)
    bias = old.get_output_embeddings().bias
    if bias is not None:
        before, after = bias.detach().numpy()[: len(source)], new.get_output_embeddings().bias.detach().numpy()
        np.testing.assert_array_equal(after[copied], before[found.source_id[copied]])
        np.testing.assert_allclose(after[~copied], before.mean(), atol=1e-6)


def test_an_untied_head_is_reported_on_its_own(made):
    old, _, _, out, init = made
    record = init("ofa", rank=4)
    tied = old.get_output_embeddings().weight is old.get_input_embeddings().weight
    assert (record["output"] is None) == (record["quality"]["output"] is None) == tied
    if not tied:
        quality = record["quality"]
        assert record["output"]["rank"] == 4
        assert record["output"]["energy"] != record["energy"]
        assert quality["output"]["predicted_norm"] > 0
        assert quality["output"]["source_norm"] != quality["source_norm"]
        assert json.loads((out / "init.json").read_text())["quality"]["output"] == quality["output"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", ["ofa-ridge", "subword-mean", "spelling-network"])
def test_a_source_of_16_bits_keeps_its_dtype_and_every_bit_of_copied_rows(rooms, tmp_path, monkeypatch, dtype, method):
    monkeypatch.setattr("hyperofa.base.rows._ENTRIES", 3 * SMALL["hidden_size"])  # many blocks
    monkeypatch.setattr("hyperofa.init.spelling.learner.MOST_COLUMNS", 8)  # rows are wide
    options = {"epochs": 1, "hidden": 4} if method == "spelling-network" else {}
    source = unigram_tokenizer(["▁dog", "▁cat", "s", "▁1", "▁walk", "▁house", "▁sun"])
    torch.manual_seed(0)
    old = llama(len(source) + PADDED).to(dtype)
    with torch.no_grad():  # numbers that arithmetic would make 0
        old.get_input_embeddings().weight[:, 0] = 3e-39 if dtype == torch.bfloat16 else 3e-7
    old.save_pretrained(tmp_path / "source")
    source.save_pretrained(tmp_path / "source")
    for rank in (None, 4):
        given = (str(tmp_path / "source"), rooms / "target", rooms / "vectors", tmp_path / f"out-{rank}", method)
        record = written(asked(*given, rank=rank, held_out=0, options=options))
        assert record["counts"]["predicted"] >= len(PREDICTED)
    new = AutoModelForCausalLM.from_pretrained(tmp_path / "out-None")
    assert {parameter.dtype for parameter in new.parameters()} == {dtype}
    found = origin.Provenance.load(tmp_path / "out-None")
    copied = found.source_id >= 0
    for part in ("get_input_embeddings", "get_output_embeddings"):
        before, after = (getattr(model, part)().weight.detach() for model in (old, new))
        assert torch.equal(after[copied].view(torch.int16), before[found.source_id[copied]].view(torch.int16))
        low, high = before[: len(source)].float().aminmax()
        assert (after.float() > 2 * low).all()
        assert (after.float() < 2 * high).all()
    factors = AutoModelForCausalLM.from_pretrained(tmp_path / "out-4").get_input_embeddings()
    assert factors.coordinates.dtype == factors.primitives.dtype == dtype


@pytest.mark.parametrize(("method", "options"), [("mean", {}), ("subword-mean", {}), ("multivariate", {"scale": 1.0})])
def test_methods_that_need_no_vectors_predict_all_that_they_can(made, rooms, tmp_path, method, options):
    old, source, _, out, _ = made
    given = asked(str(tmp_path / "source"), rooms / "target", None, out, method, options=options)
    written(given)
    new, target = loaded(out)
    found = origin.Provenance.load(out)
    drawn = set(target.convert_ids_to_tokens(np.flatnonzero(found.code == origin.DRAWN).tolist()))
    ids = target.get_vocab()
    if method != "subword-mean":
        assert drawn <= {"▁"}  # which has no text
        assert not found.evidence.any()
        return
    for token in (*PREDICTED, *DRAWN):
        pieces = source(token.replace("▁", " "), add_special_tokens=False)["input_ids"]
        pieces = [piece for piece in pieces if piece != source.unk_token_id]
        assert (token in drawn) == (not pieces)
        assert found.evidence[ids[token]] == bool(pieces) * origin.EVIDENCE["pieces"]
        for part in ("get_input_embeddings", "get_output_embeddings") if pieces else ():
            wanted = getattr(old, part)().weight.detach()[pieces].mean(0)
            torch.testing.assert_close(getattr(new, part)().weight.detach()[ids[token]], wanted)


@pytest.mark.parametrize("method", ["ofa", "ofa-ridge"])
def test_tokens_without_words_start_as_their_pieces_or_are_drawn(made, method):
    """Trap: noise where the source can spell the token, which a tied head does not forgive."""
    old, source, _, out, init = made
    token, pieces = "▁zzz", source(" zzz", add_special_tokens=False)["input_ids"]
    pieces = [piece for piece in pieces if piece != source.unk_token_id]
    records, rows = {}, {}
    for rest in (None, "pieces", "drawn"):
        records[rest] = init(method, rest=rest)
        model, target = loaded(out)
        rows[rest] = model.get_input_embeddings().weight.detach()
        found, place = origin.Provenance.load(out), target.get_vocab()[token]
        by_pieces = bool(pieces) and (rest or {"ofa": "drawn", "ofa-ridge": "pieces"}[method]) == "pieces"
        assert origin.NAMES[found.code[place]] == ("predicted" if by_pieces else "drawn")
        assert found.evidence[place] == by_pieces * origin.EVIDENCE["pieces"]
        assert found.evidence[target.get_vocab()["▁hund"]] == origin.EVIDENCE["words"]
        assert sum(records[rest]["evidence"].values()) == records[rest]["counts"]["predicted"]
        if by_pieces:
            wanted = old.get_input_embeddings().weight.detach()[pieces].mean(0)
            torch.testing.assert_close(rows[rest][place], wanted)
    words = torch.from_numpy(found.evidence == origin.EVIDENCE["words"])
    assert torch.equal(rows["pieces"][words], rows["drawn"][words])
    assert records["drawn"]["evidence"] == {"words": int(words.sum())}


def test_subword_mean_spells_every_token_with_vectors_as_without(made, rooms, tmp_path):
    _, _, _, out, init = made
    init("subword-mean")
    with_vectors, _ = loaded(out)
    written(asked(str(tmp_path / "source"), rooms / "target", None, tmp_path / "none", "subword-mean"))
    without, _ = loaded(tmp_path / "none")
    assert torch.equal(with_vectors.get_input_embeddings().weight, without.get_input_embeddings().weight)


@pytest.mark.parametrize("method", ["ofa", "ofa-ridge", "mean"])
def test_a_source_whose_vocabulary_leaves_ids_out(rooms, tmp_path, capsys, method):
    """Trap: a tokenizer's length is no bound of its ids, and a new token's id may be another's."""
    source = wordpiece_tokenizer(holes=6)
    size = max(source.get_vocab().values()) + 1
    assert size == len(source) + 6
    model = bert(size)
    model.save_pretrained(tmp_path / "source")
    source.save_pretrained(tmp_path / "source")
    places = {"--source": tmp_path / "source", "--tokenizer": rooms / "target", "--vectors": rooms / "vectors"}
    words = ["init", *(word for pair in places.items() for word in pair), "--method", method, "--out", tmp_path / "out"]
    assert main([str(word) for word in words]) == 0
    assert "None" not in capsys.readouterr().out
    new, target = loaded(tmp_path / "out")
    ids, found = target.get_vocab(), origin.Provenance.load(tmp_path / "out")
    for mine, theirs in {"▁dog": "dog", "▁walk": "walk", "▁1": "1", "<mask>": "[MASK]"}.items():
        i, j = ids[mine], source.convert_tokens_to_ids(theirs)
        assert found.source_id[i] == j
        torch.testing.assert_close(new.get_input_embeddings().weight[i], model.get_input_embeddings().weight[j])
        assert new.get_output_embeddings().bias[i] == model.get_output_embeddings().bias[j]
    assert {origin.NAMES[found.code[ids[token]]] for token in PREDICTED} == {"predicted"}


def test_a_target_whose_vocabulary_leaves_ids_out(rooms, tmp_path):
    target = wordpiece_tokenizer(holes=6)
    target.save_pretrained(tmp_path / "target")
    given = (str(rooms / "source"), tmp_path / "target", rooms / "vectors", tmp_path / "out", "ofa")
    record = written(asked(*given))
    new, _ = loaded(tmp_path / "out")
    old, _ = loaded(rooms / "source")
    assert record["counts"]["drawn"] == 6
    before, after = (m.get_input_embeddings().weight.detach() for m in (old, new))
    ids = wordpiece_tokenizer().get_vocab()
    for token, i in target.get_vocab().items():
        assert torch.equal(after[i], before[ids[token]])


@pytest.mark.parametrize(("case", "boundary"), [(False, False), (True, False), (False, True), (True, True)])
def test_folding_is_what_was_asked_for(rooms, tmp_path, case, boundary):
    unigram_tokenizer(["▁dog", "▁Dog", "cat", "Cat"]).save_pretrained(tmp_path / "target")
    given = (str(rooms / "source"), tmp_path / "target", rooms / "vectors", tmp_path / "out", "ridge")
    record = written(asked(*given, fold_case=case, fold_boundary=boundary))
    met = [record["overlap"][how] for how in ("case", "boundary", "case+boundary")]
    # The source holds dog and cat at the start of a word; single letters are none of its tokens.
    assert met == [int(case), int(boundary), int(case and boundary)]
    ids, found = AutoTokenizer.from_pretrained(tmp_path / "out").get_vocab(), origin.Provenance.load(tmp_path / "out")
    assert (found.source_id[ids["▁Dog"]] >= 0) == case
    assert (found.source_id[ids["cat"]] >= 0) == boundary


@pytest.mark.parametrize(
    ("method", "given", "split"), [("hyperofa", None, 0), ("ofa-ridge", None, 1), ("hyperofa", 1.0, 1)]
)
def test_the_published_method_leaves_the_scale_in_the_primitives(rooms, tmp_path, method, given, split):
    options = {"epochs": 0, "hidden": 4, "layers": 1} if method == "hyperofa" else {}
    places = (rooms / "source", rooms / "target", rooms / "vectors", tmp_path / "out", method)
    record = written(asked(*places, rank=4, options=options, scale_split=given))
    assert record["made_by"]["settings"]["scale_split"] == split
    primitives = AutoModelForMaskedLM.from_pretrained(tmp_path / "out").get_input_embeddings().primitives.detach()
    singular = torch.linalg.svdvals(
        AutoModelForMaskedLM.from_pretrained(rooms / "source").get_input_embeddings().weight.detach()
    )[:4]
    torch.testing.assert_close(primitives.norm(dim=1), singular ** (1 - split), rtol=1e-3, atol=1e-4)
