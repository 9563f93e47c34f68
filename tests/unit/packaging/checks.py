"""What has to work where only the wheels are installed: run by the Python of such an environment, far from the checkout."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Given = dict[str, Any]


def call(program: str, *words: object) -> str:
    """Run ``hyperofa`` or ``hyperofa-eval`` in this process; returns what it printed."""
    main = importlib.import_module(f"{program.replace('-', '_')}.cli").main
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            code = main([str(word) for word in words])
    except SystemExit as end:
        code = end.code
    assert not code, f"{program} {' '.join(map(str, words))}: exit {code}"
    return printed.getvalue()


def only_the_harness(given: Given) -> None:
    """Neither the package nor DeepSpeed can be imported."""
    assert [name for name in ("hyperofa", "deepspeed") if find_spec(name) is not None] == []


def harness_modules(given: Given) -> None:
    """Every module of the harness is there and can be imported."""
    for name in given["modules"]["hyperofa_eval"]:
        importlib.import_module(name)


def harness_list(given: Given) -> None:
    """The harness lists its languages, which are a file beside its modules."""
    assert len(json.loads(call("hyperofa-eval", "list", "--json"))["languages"]) == 22


def harness_run(given: Given) -> None:
    """The harness scores a plain model."""
    _score(given["source"], given["data"], Path("scores"))


def every_module(given: Given) -> None:
    """Every module of both packages is there and can be imported."""
    for name in (*given["modules"]["hyperofa"], *given["modules"]["hyperofa_eval"]):
        importlib.import_module(name)


def cheap_import(given: Given) -> None:
    """``import hyperofa`` imports nothing heavy (this check comes first)."""
    import hyperofa

    assert hyperofa.__version__
    assert not {"torch", "transformers", "numpy"} & set(sys.modules)


def every_help(given: Given) -> None:
    """Every command and subcommand has its help."""
    for program in ("hyperofa", "hyperofa-eval"):
        table = importlib.import_module(f"{program.replace('-', '_')}.cli").COMMANDS
        assert f"usage: {program} COMMAND" in call(program, "--help")
        for name, (module, _) in table.items():
            parser = argparse.ArgumentParser()
            found = importlib.import_module(module)
            if hasattr(found, "add_arguments"):
                found.add_arguments(parser)
            else:
                commands = importlib.import_module("hyperofa_eval.settings.commands")
                commands.fill_parser(parser, commands.commands_of(found))
            for words in _subcommands(parser, [name]):
                assert f"usage: {program} {' '.join(words)}" in call(program, *words, "--help")


def _subcommands(parser: argparse.ArgumentParser, words: list[str]) -> Iterator[list[str]]:
    yield words
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from _subcommands(below, [*words, name])


def every_program(given: Given) -> None:
    """The programs of both distributions start."""
    for program in ("hyperofa", "hyperofa-eval"):
        done = subprocess.run(
            [Path(sys.prefix) / "bin" / program, "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith(f"{program} ")


def every_recipe(given: Given) -> None:
    """Every shipped recipe has its dry run."""
    from hyperofa.base.resources import resource

    folder = resource("recipes")
    names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
    assert {"quickstart", "small", "paper/xlm-roberta", "llm/llama-8b"} <= set(names)
    for name in names:
        data = ["--data", given["data"]] if "\n  data:" in (folder / f"{name}.yaml").read_text("utf-8") else []
        found = json.loads(call("hyperofa", "experiment", name, *data, "--out", "runs", "--dry-run", "--json"))
        assert found["stages"], name
        assert all(row["plan"] is not None for row in found["plans"]), (name, found["plans"])


def refined_model(given: Given) -> None:
    """Word vectors, a tokenizer, and a model whose new rows learn from parallel text."""
    data = Path(given["data"])
    texts = [f"{language}={data / 'text' / language}.txt" for language in ("eng", "tur", "swh")]
    call("hyperofa", "vectors", "build", "--parallel", data / "verses", "--dim", 8, "--out", "vectors")
    call("hyperofa", "tokenizer", "train", "--text", *texts, "--vocab-size", 150, "--out", "tokenizer")
    words = ["--source", given["source"], "--tokenizer", "tokenizer", "--vectors", "vectors", "--method", "ofa"]
    words += ["--rank", 8, "--out", "model"]
    more = ["--refine", "sentences", "--parallel", data / "verses", "--refine-option", "steps=2"]
    call("hyperofa", "init", *words, *more)
    assert json.loads(Path("model/init.json").read_text("utf-8"))["refine"]["objective"] == "sentences"


def factorised_scores(given: Given) -> None:
    """The harness scores the factorised model in a process of its own, where an entry point alone names hyperofa."""
    program, out = Path(sys.prefix) / "bin" / "hyperofa-eval", Path("factorised-scores")
    subprocess.run([program, *_words("model", given["data"], out)], capture_output=True, check=True)
    _check_scores(out)


def _score(model: str, data: str, out: Path) -> None:
    call("hyperofa-eval", *_words(model, data, out))
    _check_scores(out)


def _words(model: str, data: str, out: Path) -> list[str]:
    words = ["run", model, "--tasks", "sr-t", "--data", data, "--out", str(out)]
    return [*words, "--device", "cpu", "--limit", "20"]


def _check_scores(out: Path) -> None:
    assert json.loads((out / "summary.json").read_text("utf-8"))["tasks"]["sr-t"]["n_languages"] == 2


def no_checkout(given: Given) -> None:
    """All that was imported of ours came out of this environment (this check comes last)."""
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] in {"hyperofa", "hyperofa_eval"}]
    places = [module.__file__ for module in ours if getattr(module, "__file__", None)]
    assert places
    assert [place for place in places if not Path(place).is_relative_to(sys.prefix)] == []
    seen = [place for place in sys.path if Path(place) in {Path(given["checkout"]), Path(given["checkout"]) / "eval"}]
    assert seen == []
    assert [name for name in sys.modules if name.startswith("__editable__")] == []


def main() -> None:
    """Run the named checks in their order and write what failed; later checks run all the same."""
    given = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    failed = {}
    for name in sys.argv[2:]:
        check: Callable[[Given], None] = globals()[name]
        try:
            check(given)
        except Exception:  # noqa: BLE001  (the report is the test's message)
            failed[name] = traceback.format_exc()
    shutil.rmtree("runs", ignore_errors=True)
    Path("failed.json").write_text(json.dumps(failed), encoding="utf-8")


if __name__ == "__main__":
    main()
