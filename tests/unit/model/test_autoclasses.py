"""``import hyperofa`` is enough for the Auto classes of transformers, in either order of the imports."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from hyperofa import autoclasses
from hyperofa.model import FAMILIES, assemble, families, load_source, register_all

from .conftest import RANK, new_embeddings, small_source

CODE = """
import pickle
import sys

import hyperofa

heavy = {"torch", "transformers", "numpy"} & set(sys.modules)
assert not heavy, f"import hyperofa imports {heavy}"
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

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
assert type(AutoModelForMaskedLM.from_pretrained(bert)).__name__ == "HyperofaBertForMaskedLM"
assert type(AutoModel.from_pretrained(bert)).__name__ == "HyperofaBertModel"
assert "hyperofa_gpt2" not in CONFIG_MAPPING.keys(), "families that nobody asked for"
assert type(pickle.loads(gpt2)).__name__ == "HyperofaGPT2Config", "a class that this process has not made"

CONFIG_MAPPING.__class__ = type(CONFIG_MAPPING).__mro__[1]
for name in [name for name in sys.modules if name.partition(".")[0] == "hyperofa"]:
    del sys.modules[name]
assert "hyperofa_llama" not in CONFIG_MAPPING
import hyperofa  # transformers first

assert type(AutoModelForCausalLM.from_pretrained(llama)).__name__ == "HyperofaLlamaForCausalLM"
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


def test_import_hyperofa_is_enough_for_the_auto_classes(folders: dict[str, str]) -> None:
    """Before transformers, and in the same process once more after it."""
    values = {**folders, "rank": RANK, "gpt2": pickle.dumps(FAMILIES["gpt2"].factorized_config())}
    given = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    done = subprocess.run([sys.executable, "-c", given + CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_factorised_models_and_configs_can_be_pickled(folders: dict[str, str]) -> None:
    from transformers import AutoModelForMaskedLM

    model = AutoModelForMaskedLM.from_pretrained(folders["bert"])
    again = pickle.loads(pickle.dumps(model))
    assert type(again) is type(model)
    assert type(again.config) is type(model.config)
    for name, value in model.state_dict().items():
        assert again.state_dict()[name].equal(value)
    with pytest.raises(AttributeError, match="HyperofaNothing"):
        _ = families.HyperofaNothing


def test_a_family_is_registered_once_for_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, real = [], families.factorized_config_class

    def slow(*given: object) -> object:
        calls.append(given)
        time.sleep(0.05)
        return real(*given)

    monkeypatch.setattr(families, "_register", cache(families._register.__wrapped__))
    monkeypatch.setattr(families, "factorized_config_class", slow)
    monkeypatch.setattr("transformers.AutoConfig.register", lambda *given: None)
    monkeypatch.setattr(families, "AUTO_CLASSES", {})
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(families.register, ["bert"] * 4))
    assert (len(calls), len(found)) == (1, 1)


def test_a_family_of_a_newer_version_is_told(tmp_path: Path) -> None:
    from transformers import AutoConfig

    (tmp_path / "config.json").write_text('{"model_type": "hyperofa_nothing"}')
    with pytest.raises(ValueError, match="does not know the model type hyperofa_nothing: upgrade hyperofa"):
        AutoConfig.from_pretrained(tmp_path)


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
