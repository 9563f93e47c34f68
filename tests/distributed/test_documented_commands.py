"""The commands of the documents, run in the order in which they stand, on small files with the names that the documents give.

Commands that need a cluster or a real source model are run elsewhere: SLURM's with shims (tests/unit/experiment), the guide "add
your language" (test_guides.py), the quick start (test_quickstart.py), an experiment's options (test_experiment.py).
"""

from __future__ import annotations

import json
import lzma
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.distributed, pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
ENGLISH = (
    "light water bread stone house field river mountain father mother child king word road gave saw made sent good new"
)
LANGUAGES = ("eng", "swh", "gla", "tur", "kat", "ces")
ELSEWHERE = re.compile(
    r"^sbatch|--slurm|experiment (small|decoder)|--only corpus"
    r"|quickstart\.sh|test\.sh|all-MiniLM|multilingual-e5|objective=sentence"
    r"|--donor|runs/small|--main_process_ip HOST"
)
NUMBERS = {
    "160000": "200",
    "60000": "200",
    "57152": "200",
    "256": "16",
    "30000": "120",
    "300": "12",
    "steps=800": "steps=4",
}
PLACES = {
    ("--tokenizer", "DIR"): "tokenizer",
    ("--tokenizer", "TOKENIZER"): "tokenizer",
    ("--vectors", "DIR"): "vectors",
    ("--vectors", "VECTORS"): "vectors",
    ("--parallel", "DIR"): "parallel",
    ("--method", "NAME"): "ofa",
    ("--rank", "R"): "8",
    ("--text", "LANG=FILE"): "swh=swh.txt",
    ("import", "FILE"): "words.vec",
}


def lines_of(document: str) -> Iterator[str]:
    """The lines of a document's fenced blocks that start a program of ours, without comments and brackets."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if language in {"", "bash"} and re.match(
                r"(hyperofa|hyperofa-eval|accelerate|sbatch|\./launch/\S+)\s", line
            ):
                yield line.replace("[key=value …]", "").replace("[", "").replace("]", "").replace("…", " … ").strip()


def spread(word: str) -> list[str]:
    """``text/{swh,tur}.txt`` as a shell reads it."""
    braces = re.fullmatch(r"([^{]*)\{([^}]*)\}(.*)", word)
    return [braces[1] + one + braces[3] for one in braces[2].split(",")] if braces else [word]


def typed(line: str, model: str, fresh: Iterator[int]) -> list[str]:
    """The words of a command with what the document leaves open filled in."""
    given = [NUMBERS.get(part, part) for word in shlex.split(line, comments=True) for part in spread(word)]
    if given[:3] == ["hyperofa", "init", "…"]:
        start = "hyperofa init --source MODEL --tokenizer DIR --vectors DIR --method NAME --rank R --out DIR"
        given = [*start.split(), *given[3:]]
    words: list[str] = []
    for word in given:
        before = words[-1] if words else ""
        if (before, word) == ("--out", "DIR"):
            words.append(f"out/{next(fresh)}")
        elif word != "…":
            words.append(
                {"MODEL": model, "model=MODEL": f"model={model}", "DATA": "test"}.get(
                    word, PLACES.get((before, word), word)
                )
            )
    if given[-2:] == ["MODEL", "…"]:  # the command above it, in several processes
        words += ["--tasks", "sr-t", "--data", "test", "--out", "out/processes"]
    return words


@pytest.fixture(scope="module")
def world(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all files that the documents name: made-up text that translates word for word."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("documents")
    english = ENGLISH.split()
    spelled = {code: [f"{word[::-1]}{code[number % 3]}" for number, word in enumerate(english)] for code in LANGUAGES}
    spelled["eng"] = english
    orders = [
        [(7 * line + step * (line % 5 + 1)) % len(english) for step in range(4 + line % 4)] for line in range(200)
    ]
    texts = {code: [" ".join(words[i] for i in order) for order in orders] for code, words in spelled.items()}
    for code, lines in texts.items():
        whole = "\n".join(lines) + "\n"
        (folder / "parallel").mkdir(exist_ok=True)
        (folder / "parallel" / f"{code}.txt").write_text(whole, encoding="utf-8")
        (folder / f"{code}.txt").write_text(whole, encoding="utf-8")
    shutil.copytree(folder / "parallel", folder / "held-out")
    for name in ("swahili.txt", "news.txt"):
        shutil.copy(folder / "swh.txt", folder / name)
    with lzma.open(folder / "habari.txt.xz", "wt", encoding="utf-8") as file:
        file.write("\n".join(texts["swh"]))
    with lzma.open(folder / "kab.jsonl.xz", "wt", encoding="utf-8") as file:
        file.write("\n".join(json.dumps({"text": line}) for line in texts["kat"]))
    pq.write_table(pa.table({"text": texts["eng"]}), folder / "eng.parquet")
    (folder / "words.vec").write_text("2 3\neng:dog 1 0 0.5\nswh:mbwa 0 1 0.5\n", encoding="utf-8")
    for name in ("tatoeba", "news", "bible"):
        (folder / "test" / name).mkdir(parents=True)
    for code in LANGUAGES[1:]:
        for name in ("tatoeba", "news"):
            for side in (code, "eng"):
                path = folder / "test" / name / f"{code}-eng.{side}"
                path.write_text("\n".join(dict.fromkeys(texts[side][:40])) + "\n", encoding="utf-8")
    for code in LANGUAGES:
        verses = [f"MAT.1.{number}\t{line}\n" for number, line in enumerate(dict.fromkeys(texts[code][:40]))]
        (folder / "test" / "bible" / f"{code}.test.tsv").write_text("".join(verses), encoding="utf-8")
    for name in ("encoder", "decoder", "bert", "tokenizer"):
        shutil.copytree(home / name, folder / name)
    shutil.copytree(home / "tokenizer", folder / "my-model")
    shutil.copytree(ROOT / "launch", folder / "launch")
    for code in ("eng", "swh", "tur", "ces"):  # of the guide "extend an LLM"
        for place in ("text", "parallel"):
            (folder / "mytext" / place).mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / f"{code}.txt", folder / "mytext" / place)
        held_out = folder / "mytext" / "test" / "text" / f"{code}.txt"
        held_out.parent.mkdir(parents=True, exist_ok=True)
        held_out.write_text("\n".join(f"{line} {line}" for line in texts[code][:200]) + "\n", encoding="utf-8")
    (settings,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs" / "extend-an-llm.md").read_text(), re.M | re.S)
    smaller = {"steps": 4, "warmup_steps": 1, "decay_steps": 2, "precision": "fp32"}
    (folder / "llm.yaml").write_text(yaml.safe_dump(yaml.safe_load(settings) | smaller), encoding="utf-8")
    run = {"steps": 4, "global_batch_size": 8, "micro_batch_size": 2, "precision": "fp32", "save_every": 2}
    first = run | {"model": str(home / "encoder"), "corpus": str(home / "corpus"), "run": "runs/first"}
    (folder / "run.yaml").write_text(yaml.safe_dump(first), encoding="utf-8")
    large = first | {"zero_stage": 3, "global_batch_size": 64}
    (folder / "large.yaml").write_text(yaml.safe_dump(large), encoding="utf-8")
    guide = (ROOT / "docs" / "add-a-method.md").read_text(encoding="utf-8")
    for name, code in zip(
        ("nearest.py", "news.py"), re.findall(r"^```python\n(.*?)^```$", guide, re.M | re.S), strict=True
    ):
        (folder / name).write_text(code, encoding="utf-8")
    return folder


def ran(words: list[str], folder: Path) -> None:
    """Run a command in the world; it must succeed."""
    program = str(Path(sys.executable).with_name(words[0]))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [program, *words[1:]], cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"


@pytest.fixture(scope="module")
def made(world: Path) -> Path:
    """The world with a store of word vectors."""
    ran(["hyperofa", "vectors", "build", "--parallel", "parallel", "--dim", "12", "--out", "vectors"], world)
    return world


DOCUMENTS = {
    "docs/vectors.md": ("bert", 2),
    "docs/tokenizers.md": ("bert", 4),
    "docs/corpus.md": ("bert", 2),
    "docs/initialisation.md": ("bert", 5),
    "docs/add-a-method.md": ("bert", 2),
    "docs/extend-an-llm.md": ("decoder", 13),
    "docs/training.md": ("bert", 2),
    "docs/slurm.md": ("bert", 2),
    "eval/README.md": ("bert", 5),
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_do_what_the_document_says(document: str, made: Path) -> None:
    model, expected = DOCUMENTS[document]
    fresh, runs = count(), 0
    shutil.rmtree(made / "out", ignore_errors=True)
    if document == "eval/README.md":  # "compare runs/a runs/b" supposes a second run
        ran(["hyperofa-eval", "run", "encoder", "--tasks", "sr-t,sr-b", "--data", "test", "--out", "runs/b"], made)
    for line in lines_of(document):
        if ELSEWHERE.search(line):
            continue
        ran(typed(line, model, fresh), made)
        runs += 1
    assert runs == expected
