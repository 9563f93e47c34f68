"""The speed benchmark says what it measured and, given data, encodes the whole Tatoeba set."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[4] / "benchmarks/eval_speed.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("eval_speed", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_with_data_every_sentence_of_the_set_is_encoded(benchmark, data, model_dir):
    lines = {line for path in data.glob("tatoeba/*") for line in path.read_text().splitlines()}
    assert set(benchmark.sentences(data, None)) == lines
    assert len(benchmark.sentences(data, 5)) == 5
    asked = argparse.Namespace(model=str(model_dir), data=data, sentences=None, loop_sentences=3, repeats=1)
    benchmark.load = shortened(benchmark.load)
    found = benchmark.encoding(asked)
    assert found["sentences"] == len(lines)
    assert found["loop_sentences"] == 3
    assert found["data"] == "tatoeba: tur ces swh cmn"
    assert found["model"].startswith(f"{model_dir.name} (bert 4 x 16, vocabulary ")
    # The loop's time is that of all sentences: three padded to the test model's 64 tokens, times n / 3.
    assert found["loop_over_harness"] == pytest.approx(found["loop_s"] / found["harness_s"], rel=0.5)


def shortened(load):
    """The test model reads 64 tokens, not the 512 that the loop pads to."""

    def loaded(name):
        body, tokenizer = load(name)

        def shorter(texts, **options):
            return tokenizer(texts, **{**options, **({"max_length": 64} if "max_length" in options else {})})

        for attribute in ("pad_token_id", "model_max_length"):
            setattr(shorter, attribute, getattr(tokenizer, attribute))
        return body, shorter

    return loaded


def test_without_data_it_says_that_the_sentences_are_made_up(benchmark):
    assert len(benchmark.sentences(None, None)) == 256
    assert len(benchmark.sentences(None, 7)) == 7
