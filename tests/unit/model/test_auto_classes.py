"""``import hyperofa`` is enough for the Auto classes of transformers, in either order of the imports."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType

import pytest

from hyperofa import autoclasses
from hyperofa.model import FAMILIES, assemble, load_source, register_all

from .conftest import RANK, new_embeddings, small_source

FIRST_HYPEROFA = """
import hyperofa
heavy = {"torch", "transformers", "numpy"} & set(sys.modules)
assert not heavy, f"import hyperofa imports {heavy}"
from transformers import AutoConfig
"""
FIRST_TRANSFORMERS = """
from transformers import AutoConfig
import hyperofa
"""
LOADING = """
import pickle
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

assert len(AutoTokenizer.from_pretrained(plain)) == 60
assert type(pickle.loads(pickle.dumps(CONFIG_MAPPING))) is type(CONFIG_MAPPING)
assert "hyperofa.model" not in sys.modules, "a plain model needs nothing of ours"
for unknown in ("hyperofa_nothing", "nothing"):
    assert unknown not in CONFIG_MAPPING
    try:
        AutoConfig.for_model(unknown)
    except ValueError as error:
        assert "Unrecognized model identifier" in str(error)
    else:
        raise AssertionError(unknown)
assert AutoConfig.from_pretrained(bert).embedding_rank == rank
for auto, folder, name in (
    (AutoModelForMaskedLM, bert, "HyperofaBertForMaskedLM"),
    (AutoModel, bert, "HyperofaBertModel"),
    (AutoModelForCausalLM, llama, "HyperofaLlamaForCausalLM"),
):
    assert type(auto.from_pretrained(folder)).__name__ == name
assert "hyperofa_gpt2" not in CONFIG_MAPPING.keys(), "families that nobody asked for"
"""


@pytest.fixture
def folders(tmp_path: Path, target_tokenizer) -> dict[str, str]:
    """A plain BERT, and factorised models of two families, each with a tokenizer."""
    small_source("bert").save_pretrained(tmp_path / "plain")
    target_tokenizer.save_pretrained(tmp_path / "plain")
    for name in ("bert", "llama"):
        small_source(name).save_pretrained(tmp_path / "source" / name)
        source = load_source(str(tmp_path / "source" / name), head=FAMILIES[name].objective)
        assemble(source, target_tokenizer, **new_embeddings(source)).save_pretrained(tmp_path / name)
        target_tokenizer.save_pretrained(tmp_path / name)
    return {name: str(tmp_path / name) for name in ("plain", "bert", "llama")}


@pytest.mark.parametrize("imports", [FIRST_HYPEROFA, FIRST_TRANSFORMERS], ids=["hyperofa first", "transformers first"])
def test_import_hyperofa_is_enough_for_the_auto_classes(folders: dict[str, str], imports: str) -> None:
    given = "".join(f"{name} = {value!r}\n" for name, value in {**folders, "rank": RANK}.items())
    code = f"import sys\n{given}{imports}{LOADING}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_mapping_of_another_kind_is_left_alone_and_said() -> None:
    module = ModuleType("configuration_auto")
    module.CONFIG_MAPPING = OrderedDict(bert=dict)  # type: ignore[attr-defined]
    with pytest.warns(RuntimeWarning, match=r"import hyperofa\.model before loading"):
        autoclasses._teach(module)
    assert type(module.CONFIG_MAPPING) is OrderedDict


def test_all_families_can_be_registered_at_once() -> None:
    from transformers import CONFIG_MAPPING

    register_all()
    assert {f"hyperofa_{name}" for name in FAMILIES} <= set(CONFIG_MAPPING.keys())


def test_a_module_is_loaded_as_without_the_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loaded_later.py").write_text("value = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[int] = []
    before = list(sys.meta_path)
    for _ in range(2):  # the second changes nothing
        autoclasses._when_imported("loaded_later", lambda module: seen.append(module.value))
    import loaded_later

    assert seen == [1]
    assert sys.meta_path == before
    assert loaded_later.__loader__ is loaded_later.__spec__.loader
    assert type(loaded_later.__loader__).__name__ == "SourceFileLoader"
    autoclasses._when_imported("loaded_later", lambda module: seen.append(module.value + 1))
    assert seen == [1, 2]
    del sys.modules["loaded_later"]
