"""README's first code runs as written from a plain Python, on small models, and leaves the process as it found it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.made_up import sentences

from hyperofa import settings_page

ROOT = Path(__file__).parents[2]

STATE = """
import logging, os, sys, threading, warnings, signal, random
def state():
    import numpy, torch, transformers, datasets
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    return {
        "environment": dict(os.environ),
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "onednn": getattr(matmul, "fp32_precision", None),
        "matmul": torch.get_float32_matmul_precision(),
        "denormals": sys.float_info.min * 0.5 != 0.0,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "dtype": str(torch.get_default_dtype()),
        "random": [str(random.getstate())[:200], str(numpy.random.get_state())[:200], torch.get_rng_state().sum().item()],
        "loggers": {
            name: [log.level, log.propagate, [repr(handler) for handler in log.handlers]]
            for name in ("", "hyperofa", "hyperofa_eval", "transformers", "datasets", "torch", "accelerate")
            for log in [logging.getLogger(name)]
        },
        "disabled": logging.root.manager.disable,
        "verbosity": [transformers.logging.get_verbosity(), datasets.logging.get_verbosity()],
        "bars": [datasets.are_progress_bars_disabled(), transformers.utils.logging.is_progress_bar_enabled()],
        "filters": [str(one) for one in warnings.filters],
        "hooks": [str(sys.excepthook), str(threading.excepthook)],
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)],
        "folder": os.getcwd(),
        "umask": [os.umask(0o22), os.umask(0o22)],
    }
def changes(before, after):
    found = {}
    for key in before:
        one, other = before[key], after[key]
        if isinstance(one, dict):
            names = [name for name in one.keys() | other if one.get(name) != other.get(name)]
            found |= {f"{key} {name}": [one.get(name), other.get(name)] for name in names}
        elif one != other and isinstance(one, list):
            found[key] = [[x for x in one if x not in other], [x for x in other if x not in one]]
        elif one != other:
            found[key] = [one, other]
    return found
"""


def snippet() -> str:
    """The first code block of README.md."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    language, code = re.search(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL).groups()  # type: ignore[union-attr]
    assert language == "python"
    return code


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """The folder a reader works in: a small XLM-R under its name, parallel text, text, and a test set."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    import hyperofa

    lines = [" ".join(pair) for pair in zip(sentences(), reversed(sentences()), strict=True)]
    kabyle = [line.translate(str.maketrans("aeiou", "ɛɣčḍẓ")) for line in lines]
    (tmp_path / "parallel").mkdir()
    for name, text in {"parallel/eng": lines, "parallel/kab": kabyle, "eng": lines, "kab": kabyle}.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(text) + "\n", encoding="utf-8")
    (tmp_path / "data" / "tatoeba").mkdir(parents=True)
    for side, text in {"kab": kabyle[:40], "eng": lines[:40]}.items():
        (tmp_path / "data" / "tatoeba" / f"kab-eng.{side}").write_text("\n".join(text) + "\n", encoding="utf-8")
    source = tmp_path / "xlm-roberta-base"
    tokenizer = hyperofa.train_tokenizer({"eng": tmp_path / "eng.txt"}, vocab_size=120, held_out=0)
    tokenizer.save_pretrained(source)
    torch.manual_seed(0)
    sizes = {"hidden_size": 120, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    config = XLMRobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=130, pad_token_id=1, **sizes)
    XLMRobertaForMaskedLM(config).save_pretrained(source)
    return tmp_path


def test_the_first_code_of_the_readme_runs_and_changes_nothing_of_the_process(desk: Path) -> None:
    program = f"{STATE}\nbefore = state()\n{snippet()}\nafter = state()\n" + (
        "import json\n"
        "print(json.dumps({'changed': changes(before, after),"
        " 'rank': extended.model.config.embedding_rank, 'rows': len(extended.tokenizer), 'counts': extended.report['counts'],"
        " 'codes': len(extended.provenance.code), 'loaded': type(model).__name__, 'dense': type(dense).__name__,"
        " 'score': scores['tasks']['sr-t']['rows'][0]['n'], 'dim': vectors.dim}))\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=desk, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["changed"] == {}
    assert found["rank"] == 100
    assert found["rows"] == found["codes"] > 120
    assert found["counts"]["predicted"] > 0
    assert found["loaded"].startswith("HyperofaXLMRoberta") or "XLMRoberta" in found["loaded"]
    assert found["dense"] == "XLMRobertaForMaskedLM"
    assert found["score"] == 40
    assert {"README.md", "config.json", "init.json", "model.safetensors", "provenance.safetensors"} <= {
        path.name for path in (desk / "models" / "kab").iterdir()
    }


def test_the_page_of_settings_is_that_of_the_code() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_page.page()
