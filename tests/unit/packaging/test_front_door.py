"""README's first code runs as written from the wheels alone, on small models, and leaves the process as it found it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from support.front_door import write_desk

from .conftest import ROOT

pytestmark = pytest.mark.xdist_group("packaging")

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


def test_the_first_code_of_the_readme_runs_from_the_wheels_alone_and_changes_nothing_of_the_process(
    installed: Path, tmp_path: Path
) -> None:
    write_desk(tmp_path)
    program = f"{STATE}\nbefore = state()\n{snippet()}\nafter = state()\n" + (
        "import json\n"
        "print(json.dumps({'changed': changes(before, after),"
        " 'rank': extended.model.config.embedding_rank, 'rows': len(extended.tokenizer), 'counts': extended.report['counts'],"
        " 'codes': len(extended.provenance.code), 'loaded': type(model).__name__, 'dense': type(dense).__name__,"
        " 'score': scores['tasks']['sr-t']['rows'][0]['n'], 'dim': vectors.dim,"
        " 'places': [hyperofa.__file__, hyperofa_eval.__file__]}))\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [installed, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=clean | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert all(Path(place).is_relative_to(installed.parents[1]) for place in found["places"])
    assert found["changed"] == {}
    assert found["rank"] == 100
    assert found["rows"] == found["codes"] > 120
    assert found["counts"]["predicted"] > 0
    assert found["loaded"].startswith("HyperofaXLMRoberta") or "XLMRoberta" in found["loaded"]
    assert found["dense"] == "XLMRobertaForMaskedLM"
    assert found["score"] == 40
    assert {"README.md", "config.json", "init.json", "model.safetensors", "provenance.safetensors"} <= {
        path.name for path in (tmp_path / "models" / "kab").iterdir()
    }
