"""Model types of other packages: an entry point teaches them, and without one the error says what to install."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.models import model_types


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """A package that brings two types: by a function that says which, and by a module whose import does."""
    (tmp_path / "brings_types.py").write_text("taught = []\ndef teach():\n    taught.append('mine')\n")
    (tmp_path / "teaches_at_import.py").write_text("import brings_types\nbrings_types.taught.append('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        EntryPoint("mine_*", "brings_types:teach", model_types.GROUP),
        EntryPoint("mine_too", "teaches_at_import", model_types.GROUP),
        EntryPoint("broken", "brings_types.nowhere:teach", model_types.GROUP),
        EntryPoint("hyperofa_*", "hyperofa_without_torch:teach", model_types.GROUP),
    ]
    monkeypatch.setattr(model_types, "entry_points", lambda group: [p for p in points if p.group == group])
    import brings_types

    yield brings_types.taught
    for name in ("brings_types", "teaches_at_import"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("model_type", "taught"),
    [("mine_bert", ["mine"]), ("mine_too", ["imported"]), ("bert", []), ("mine", []), ("", [])],
)
def test_the_entry_point_whose_name_fits_best_is_loaded(brought, model_type, taught):
    model_types.register(model_type, "models/x")
    assert brought == taught


def test_a_package_that_fails_is_named(brought):
    with pytest.raises(InputError, match=r"models/x: a checkpoint \(broken\) that needs the brings_types package \("):
        model_types.register("broken", "models/x")
    with pytest.raises(
        InputError, match=r"needs the hyperofa_without_torch package \(.*pip install hyperofa, or export"
    ):
        model_types.register("hyperofa_unheard", "models/x")


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(model_types, "entry_points", lambda group: [])
    words = r"models/x: a factorised checkpoint \(hyperofa_unheard\) that needs the hyperofa package; pip install hyperofa, or"
    with pytest.raises(InputError, match=words):
        model_types.register("hyperofa_unheard", "models/x")
    model_types.register("unheard", "models/x")  # transformers says what it thinks of it


def test_the_hyperofa_package_registers_its_types():
    """As it is declared: what is installed beside a checkout may be of another version."""
    import tomllib
    from pathlib import Path

    declared = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())
    (value,) = declared["project"]["entry-points"][model_types.GROUP].values()
    code = (
        "import sys; from importlib.metadata import EntryPoint; from hyperofa_eval.models import model_types\n"
        f"point = EntryPoint('hyperofa_*', {value!r}, model_types.GROUP)\n"
        "model_types.entry_points = lambda group: [point]\n"
        "assert 'hyperofa' not in sys.modules\n"
        "model_types.register('hyperofa_bert', 'x')\n"
        "from transformers import AutoConfig; print(AutoConfig.for_model('hyperofa_bert', embedding_rank=3).embedding_rank)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "3"
