"""Model cards: metadata that the hub reads, and what the text says."""

from __future__ import annotations

import shutil

import pytest
from huggingface_hub import ModelCard

import hyperofa
from hyperofa.errors import InputError
from hyperofa.init.quality.card import hub_language, write_card
from hyperofa_eval.base.files import write_json

SCORES = {
    "protocol": "default",
    "tasks": {"sr-t": {"metric": "top10", "mean": 41.0958, "n_languages": 14}},
}


@pytest.fixture(scope="module")
def record(rooms, tmp_path_factory):
    """Of a model whose source has a card with a licence."""
    source = tmp_path_factory.mktemp("card") / "tiny-bert"
    shutil.copytree(rooms / "source", source)
    (source / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n# Tiny\n")
    return hyperofa.initialise(source, rooms / "target", rooms / "vectors", rank=8, method="ofa-ridge").report


def test_metadata_names_source_languages_and_licence(record, tmp_path):
    write_card(tmp_path, record)
    data = ModelCard.load(tmp_path / "README.md").data
    assert (data.base_model, data.language, data.license) == ("tiny-bert", ["de", "en"], "apache-2.0")
    assert data.to_dict()["library_name"] == "transformers"
    assert "hyperofa" in data.tags


def test_the_text_says_what_was_done_and_how_to_load_it(record, tmp_path):
    write_card(tmp_path, record)
    text = (tmp_path / "README.md").read_text()
    assert "`ofa-ridge` (ofa_weight 1.0" in text
    assert "factorised to rank 8" in text
    assert f"| predicted | {record['counts']['predicted']} |" in text
    assert f"| deu | 6 | {record['quality']['languages']['deu']['copied']} |" in text
    assert "import hyperofa" in text
    assert 'AutoModelForMaskedLM.from_pretrained("FOLDER")' in text
    assert "hyperofa.export_dense(model)" in text
    assert "Seed 0" in text
    assert "Scores" not in text


@pytest.mark.parametrize("given", [True, False])
def test_scores_are_those_that_are_given_or_lie_there(record, tmp_path, given):
    if not given:
        write_json(tmp_path / "summary.json", SCORES)
    write_card(tmp_path, record, SCORES if given else None)
    text = (tmp_path / "README.md").read_text()
    assert "Scores (protocol `default`)" in text
    assert "| sr-t | top10 | 41.1 | 14 |" in text


def test_a_source_without_a_licence_and_an_unfactorised_model(rooms, tmp_path):
    report = hyperofa.initialise(rooms / "source", rooms / "target", method="mean").report
    write_card(tmp_path, report)
    text = (tmp_path / "README.md").read_text()
    assert ModelCard.load(tmp_path / "README.md").data.license is None
    assert "The embeddings are not factorised." in text
    assert "export_dense" not in text


def test_a_damaged_card_of_the_source_has_no_licence(rooms, tmp_path):
    shutil.copytree(rooms / "source", tmp_path / "source")
    (tmp_path / "source" / "README.md").write_text("---\nlicense: [\n---\n")
    report = hyperofa.initialise(tmp_path / "source", rooms / "target", method="mean").report
    assert report["source"] == {"name": "source", "license": None}


@pytest.mark.parametrize(("preset", "named"), [("default", ", and its method is now called ofa-ridge"), ("paper", "")])
def test_a_record_of_an_earlier_version_is_refused_with_the_present_name(tmp_path, preset, named):
    with pytest.raises(InputError, match=f"init.json is of an earlier version{named}; run hyperofa init again"):
        write_card(tmp_path, {"method": "hyperofa", "preset": preset, "rank": 100})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "short"),
    [("eng", "en"), ("kab", "kab"), ("cmn", "zh"), ("aze_Latn", "az"), ("swh", "sw"), ("eus", "eu"), ("xyz", "xyz")],
)
def test_languages_have_two_letters_where_there_are_such(code, short):
    assert hub_language(code) == short


def test_a_trained_model_has_a_card_that_says_so(record, tmp_path):
    from hyperofa.train.checkpoint.final import write_final

    source = tmp_path / "init"
    source.mkdir()
    write_json(source / "init.json", record)
    write_card(source, record)
    write_final(tmp_path / "final", str(source), "run", 60, lambda folder: None, {"dense": True})
    text = (tmp_path / "final" / "README.md").read_text()
    assert "trained for 60 steps" in text
    assert "multiplied out later" in text
    assert "export_dense" not in text
    write_json(source / "init.json", {"method": "hyperofa"})
    write_final(tmp_path / "old", str(source), "run", 60, lambda folder: None, {})
    assert "trained for" not in (tmp_path / "old" / "README.md").read_text()
