"""The whole of ``hyperofa init`` on a tiny model: provenance, copying, draws, bias, determinism, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

import hyperofa.model
from hyperofa.cli import main
from hyperofa.commands.init import Init
from hyperofa.errors import DataMissingError, InputError
from hyperofa.init import provenance as origin
from hyperofa.init.evidence import surface_groups
from hyperofa_eval.base.files import sha256_file
from tests.unit.init.conftest import TARGET_PIECES, asked, unigram_tokenizer, written


def config(rooms: Path, out: Path, **settings) -> Init:
    given = {"rank": 8, "seed": 1} | settings
    return asked(rooms / "source", rooms / "target", rooms / "vectors", out, **given)


def rows_of(folder: Path) -> torch.Tensor:
    """The dense input rows (V, D) of a model directory."""
    embedding = AutoModelForMaskedLM.from_pretrained(folder).get_input_embeddings()
    if hasattr(embedding, "coordinates"):
        return (embedding.coordinates @ embedding.primitives).detach()
    return embedding.weight.detach()


def test_rows_come_from_where_the_provenance_says(rooms, tmp_path):
    record = written(config(rooms, tmp_path / "out", rank=None))
    source = AutoTokenizer.from_pretrained(rooms / "source")
    target = AutoTokenizer.from_pretrained(tmp_path / "out")
    found = origin.Provenance.load(tmp_path / "out")
    old = AutoModelForMaskedLM.from_pretrained(rooms / "source").get_input_embeddings().weight.detach()
    new = rows_of(tmp_path / "out")
    code = {token: origin.NAMES[found.code[i]] for token, i in target.get_vocab().items()}
    assert {code[t] for t in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")} == {"special"}
    assert {code[t] for t in ("▁dog", "▁cat", "▁walk", "s", "▁1")} == {"copied"}
    assert {code[t] for t in ("▁hund", "▁katze", "▁haus", "▁feuer")} == {"predicted"}
    assert code["▁zzz"] == "drawn"
    pairs = {"▁dog": "dog", "s": "##s", "<s>": "[CLS]", "<pad>": "[PAD]", "<mask>": "[MASK]", "</s>": "[SEP]"}
    for mine, theirs in pairs.items():
        i, j = target.convert_tokens_to_ids(mine), source.convert_tokens_to_ids(theirs)
        torch.testing.assert_close(new[i], old[j])
        assert found.source_id[i] == j
    assert record["counts"]["copied"] == int((found.code == origin.COPIED).sum())
    assert sum(record["counts"].values()) == len(target)


def test_a_translation_gets_a_row_near_its_word(rooms, tmp_path):
    written(config(rooms, tmp_path / "out", rank=None, options={"neighbours": 1}))
    target = AutoTokenizer.from_pretrained(tmp_path / "out")
    new = rows_of(tmp_path / "out")
    ids = target.convert_tokens_to_ids(["▁hund", "▁dog", "▁katze", "▁cat"])
    torch.testing.assert_close(new[ids[0]], new[ids[1]])
    torch.testing.assert_close(new[ids[2]], new[ids[3]])


def test_all_methods_share_overlap_and_fallback_rows(rooms, tmp_path):
    rows, codes = {}, {}
    for method in ("random", "ofa", "ridge", "ofa-ridge"):
        rest = {"rest": "drawn"} if method != "random" else {}
        written(config(rooms, tmp_path / method, method=method, **rest))
        rows[method] = rows_of(tmp_path / method)
        codes[method] = origin.Provenance.load(tmp_path / method).code
    for method in ("random", "ridge", "ofa-ridge"):  # ofa finds the words of a token in another way than ridge
        untouched = torch.from_numpy((codes[method] != origin.PREDICTED) & (codes["ofa"] != origin.PREDICTED))
        assert torch.equal(rows[method][untouched], rows["ofa"][untouched])
        assert untouched.sum() > 10
        for code in (origin.COPIED, origin.SPECIAL):
            assert ((codes[method] == code) == (codes["ofa"] == code)).all()
    assert not torch.equal(rows["random"], rows["ofa"])


def test_a_copied_zero_row_stays_zero(rooms, tmp_path):
    source = tmp_path / "zeroed"
    shutil.copytree(rooms / "source", source)
    model = AutoModelForMaskedLM.from_pretrained(source)
    dog = AutoTokenizer.from_pretrained(source).convert_tokens_to_ids("dog")
    with torch.no_grad():
        model.get_input_embeddings().weight[dog] = 0
    model.save_pretrained(source)
    written(asked(str(source), rooms / "target", rooms / "vectors", tmp_path / "out", method="ofa"))
    found = AutoTokenizer.from_pretrained(tmp_path / "out").convert_tokens_to_ids("▁dog")
    assert not rows_of(tmp_path / "out")[found].any()


def test_the_heads_bias_follows_the_token_and_not_the_index(rooms, tmp_path):
    written(config(rooms, tmp_path / "out"))
    old = AutoModelForMaskedLM.from_pretrained(rooms / "source").cls.predictions.bias.detach()
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    new = model.get_output_embeddings().bias.detach()
    source, target = (AutoTokenizer.from_pretrained(p) for p in (rooms / "source", tmp_path / "out"))
    for mine, theirs in (("▁dog", "dog"), ("s", "##s"), ("<mask>", "[MASK]")):
        assert new[target.convert_tokens_to_ids(mine)] == old[source.convert_tokens_to_ids(theirs)]
    assert new[target.convert_tokens_to_ids("▁hund")] == pytest.approx(float(old.mean()))


def test_a_new_head_starts_at_the_tokenizers_unigram_scores(rooms, tmp_path):
    from transformers import BertModel

    source = tmp_path / "headless"
    shutil.copytree(rooms / "source", source)
    BertModel.from_pretrained(source).save_pretrained(source)
    record = written(asked(str(source), rooms / "target", rooms / "vectors", tmp_path / "out", method="ofa", rank=8))
    assert record["head"]["is_new"]
    target = AutoTokenizer.from_pretrained(tmp_path / "out")
    bias = AutoModelForMaskedLM.from_pretrained(tmp_path / "out").get_output_embeddings().bias.detach()
    assert float(bias[target.convert_tokens_to_ids("▁dog")]) == pytest.approx(-2.0)
    assert float(bias[target.convert_tokens_to_ids("▁hund")]) == pytest.approx(-2.2)
    assert float(bias[target.pad_token_id]) == pytest.approx(-9.0)  # specials are never predicted: the smallest score


def test_pieces_whose_score_is_no_probability_start_as_the_rarest(rooms, tmp_path):
    """Trap: a unigram tokenizer's bytes have the score 0, the logarithm of certainty."""
    from transformers import BertModel

    shutil.copytree(rooms / "source", tmp_path / "headless")
    BertModel.from_pretrained(rooms / "source").save_pretrained(tmp_path / "headless")
    target = unigram_tokenizer(TARGET_PIECES, first=[f"<0x{byte:02X}>" for byte in range(256)])
    target.save_pretrained(tmp_path / "target")
    given = (str(tmp_path / "headless"), tmp_path / "target", rooms / "vectors", tmp_path / "out", "ofa")
    written(asked(*given))
    bias = AutoModelForMaskedLM.from_pretrained(tmp_path / "out").get_output_embeddings().bias.detach()
    ids = target.convert_tokens_to_ids(["<0x41>", "▁dog", "<pad>"])
    np.testing.assert_allclose(bias[ids], [-9, -2, -9])


def test_the_current_folder_may_be_written(rooms, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(config(rooms, Path()))
    assert (tmp_path / "init.json").is_file()
    assert not (tmp_path.parent / f".{tmp_path.name}.work").exists()


def test_every_input_is_recorded(rooms, tmp_path):
    """Two folders of one name, two files of one name, and the file of a method of one's own."""
    for place in "ab":
        (tmp_path / place / "par").mkdir(parents=True)
        (tmp_path / place / "eng.txt").write_text(f"dog\ncat {place}\n")
        for language, lines in (("eng", "dog\ncat\n"), ("deu", f"hund\nkatze {place}\n")):
            (tmp_path / place / "par" / f"{language}.txt").write_text(lines)
    own = tmp_path / "own.py"
    predict = "lambda p: p.rows[:1].repeat(len(p.predict_ids), 0)"
    own.write_text(f"from hyperofa.init.registry import Method\nm = Method('own', '', {predict})\n")
    text = {"eng": [tmp_path / "a" / "eng.txt", tmp_path / "b" / "eng.txt"]}
    parallel = (tmp_path / "a" / "par", tmp_path / "b" / "par")
    settings = {"method": f"{own}:m", "refine_options": {"steps": 1}}
    record = written(config(rooms, tmp_path / "out", parallel=parallel, text=text, **settings))
    inputs = record["made_by"]["inputs"]
    assert len({inputs[name]["sha256"] for name in ("parallel/par", "parallel/par#2")}) == 2
    assert len({inputs[name]["sha256"] for name in ("text/eng/eng.txt", "text/eng/eng.txt#2")}) == 2
    assert inputs["method"] == {"name": "own.py", "sha256": sha256_file(own)}


def test_special_ids_follow_their_roles(rooms, tmp_path):
    written(config(rooms, tmp_path / "out"))
    values = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (values["pad_token_id"], values["vocab_size"]) == (1, len(AutoTokenizer.from_pretrained(tmp_path / "out")))
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "out").get_input_embeddings().padding_idx == 1


def test_two_runs_write_identical_files_and_another_seed_does_not(rooms, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        options = {"epochs": 2, "hidden": 8, "layers": 1}
        written(config(rooms, tmp_path / name, method="hyperofa", seed=seed, options=options))
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert {"README.md", "init.json", "model.safetensors", origin.FILE} <= names
    for name in names:
        a, b, c = ((tmp_path / run / name).read_bytes() for run in "abc")
        assert a == b, name
        assert (a != c) == (name in {"README.md", "init.json", "model.safetensors"}), name


def test_padding_rows_are_appended_and_marked(rooms, tmp_path):
    record = written(config(rooms, tmp_path / "out", pad_to_multiple=16))
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    size = next(t.shape[0] for name, t in tensors.items() if name.endswith("coordinates"))
    assert size % 16 == 0
    assert record["counts"]["padding"] == size - len(AutoTokenizer.from_pretrained(tmp_path / "out"))


def test_surface_groups_join_cases_and_boundaries():
    tokenizer = unigram_tokenizer(["▁dog", "▁Dog", "dog", "DOG", "▁cat"])
    groups = surface_groups(tokenizer, len(tokenizer) + 3)
    ids = tokenizer.get_vocab()
    assert len({groups[ids[piece]] for piece in ("▁dog", "▁Dog", "dog", "DOG")}) == 1
    assert groups[ids["▁dog"]] != groups[ids["▁cat"]]
    others = [group for i, group in enumerate(groups) if i not in {ids[p] for p in ("▁dog", "▁Dog", "dog", "DOG")}]
    assert groups[ids["▁dog"]] not in others
    assert len(set(groups[-3:].tolist())) == 3


def test_quality_is_reported(rooms, tmp_path):
    quality = written(config(rooms, tmp_path / "out"))["quality"]
    assert quality["source_norm"] > 0
    assert quality["predicted_norm"] > 0
    assert quality["scripts"]["LATIN"]["predicted"] >= 4
    assert all(len(words) == 5 for words in quality["neighbours"].values())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"method": "offa"}, InputError, "did you mean 'ofa'"),
        ({"options": {"temprature": 1}}, InputError, "did you mean 'temperature'"),
        ({"rank": -1}, InputError, "rank: -1 is not a number of 1 or more"),
        ({"vectors": None}, InputError, "method ofa needs them"),
        ({"method": "subword-mean", "vectors": None, "rank": 0}, InputError, "rank: 0 is not"),
        ({"tokenizer": Path("nowhere")}, DataMissingError, "nowhere"),
        ({"vectors": Path("nowhere")}, DataMissingError, "nowhere"),
        ({"source": "nowhere-at-all/x"}, DataMissingError, "nowhere-at-all"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(rooms, tmp_path, change, error, message, monkeypatch):
    import dataclasses

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(error, match=message) as caught:
        written(dataclasses.replace(config(rooms, tmp_path / "out"), **change))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_larger_than_the_model_is_refused(rooms, tmp_path):
    source = tmp_path / "grown"
    shutil.copytree(rooms / "source", source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.add_tokens([f"extra{i}" for i in range(50)])
    tokenizer.save_pretrained(source)
    with pytest.raises(InputError, match="tokens but the model"):
        written(asked(str(source), rooms / "target", rooms / "vectors", tmp_path / "out", method="ofa"))


def test_an_output_that_holds_something_else_is_left_alone(rooms, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds something else"):
        written(config(rooms, tmp_path / "out"))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_the_command_prints_json_and_exit_codes(rooms, tmp_path, capsys):
    arguments = ["init", "--source", str(rooms / "source"), "--tokenizer", str(rooms / "target")]
    arguments += ["--vectors", str(rooms / "vectors"), "--out", str(tmp_path / "out"), "--rank", "4"]
    assert main([*arguments, "--method", "ofa", "--option", "neighbours=3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["made_by"]["settings"]["options"]["neighbours"] == 3
    assert main([*arguments, "--method", "none"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main([*arguments, "--option", "neighbours"]) == 2
    assert (
        main([*arguments[:-4], "--out", str(tmp_path / "x"), "--vectors", str(tmp_path / "no"), "--method", "ofa"]) == 3
    )
    assert main(["init", "--list-methods", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) >= 9


def test_importing_the_model_room_is_enough_to_load(rooms, tmp_path):
    written(config(rooms, tmp_path / "out"))
    assert hyperofa.model.FAMILIES
    ids = AutoTokenizer.from_pretrained(tmp_path / "out")("dog hund", return_tensors="pt")
    assert torch.isfinite(AutoModelForMaskedLM.from_pretrained(tmp_path / "out")(**ids).logits).all()
    assert np.isfinite(rows_of(tmp_path / "out")).all()
