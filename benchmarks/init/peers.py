"""Other packages of this kind on our input: WECHSEL, FOCUS, mergekit, each as pip delivers it, beside our methods of that name.

    python benchmarks/init/peers.py --source DIR --tokenizer DIR --data DIR --work DIR [--donor DIR] [--peers wechsel …]

``--data`` is what ``init_quality.py`` takes: ``ntrex/``, ``bible/``, ``tatoeba/``. All get the same source (a BERT), tokenizer
and text, and are scored at full rank, before any training, by ``hyperofa-eval`` (SR-T, top-10).

``wechsel``             WECHSEL on the word vectors of ``vectors build`` with its counts; its source side has ``--language``'s
``focus``               deepfocus with our token vectors where its fastText model stands
``focus-fasttext``      deepfocus in its own way: fastText trained on the same text
``mergekit-omp``        mergekit's tokensurgeon, as shipped; ``--donor`` is a BERT whose tokenizer is the target's
``mergekit-omp-named``  the same, after token names are corrected so that the two vocabularies meet

WECHSEL and FOCUS draw special tokens that the source spells otherwise (``[CLS]``, ``<s>``); ``with_specials_copied`` is the
score with those copied by role, as our methods do.

Ours get the word vectors, ``omp`` the donor; ``default`` is ``hyperofa init`` with no method named, given the text as well.

Each package gets an environment of its own in ``--work`` (``python -m venv``; what this environment has already, such as torch,
is seen there too). Finished parts are kept, and each batch of mergekit's. The last line is one JSON: score, seconds and memory of
each, and for every package with a method of ours how far their rows and ours are apart on the tokens that both predict.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import numpy as np
from init_quality import run
from quality_sources import Split, parallel_text

PACKAGES = {"wechsel": "wechsel==0.0.4", "deepfocus": "deepfocus==1.0.1", "mergekit": "mergekit==0.1.5"}
PEERS = {
    "wechsel": "wechsel",
    "focus": "deepfocus",
    "focus-fasttext": "deepfocus",
    "mergekit-omp": "mergekit",
    "mergekit-omp-named": "mergekit",
}
DEFAULT = "default"
OURS = ("wechsel", "ofa", "focus", "ofa-ridge", DEFAULT)
OURS_WITH_DONOR = ("omp", "omp:growth=0")
TWINS = {"wechsel": "wechsel", "focus": "focus", "mergekit-omp-named": "omp:growth=0"}
"""Packages whose rows are compared with those of a method of ours that should give the same."""
DRIVER = Path(__file__).with_name("peer_driver.py")
NEAR = 1e-5  # rows whose entries are all this near are the same row in float32


def main() -> int:
    """Run all that is asked for; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--donor", type=Path, help="for mergekit: a BERT whose tokenizer is the target's")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), help="default: all (mergekit only with --donor)")
    parser.add_argument(
        "--ours", nargs="*", help="methods, as NAME or NAME:KEY=VALUE,…; default: all (omp with --donor)"
    )
    parser.add_argument("--language", default="eng", help="the source's, for WECHSEL")
    parser.add_argument("--languages", help="passed on to hyperofa-eval")
    args = parser.parse_args()
    peers = args.peers
    if peers is None:
        peers = [name for name, package in PEERS.items() if package != "mergekit" or args.donor]
    check(parser, args, peers)
    learned = Split((), (), "tatoeba", keeps=lambda number: True)  # all of NTREX: nothing of it is scored
    parallel = parallel_text(args.data, learned, args.work / "parallel", everything=True)
    vectors = args.work / "vectors"
    if not (vectors / "meta.json").is_file():
        run("hyperofa.cli", "vectors", "build", "--parallel", parallel, "--out", vectors)
    folder = prepare(args, parallel, vectors)
    ours = [*OURS, *(OURS_WITH_DONOR if args.donor else ())] if args.ours is None else args.ours
    outcome: dict[str, dict[str, Any]] = {"peers": {}, "ours": {}, "rows": {}}
    for name in ours:
        outcome["ours"][name] = of_ours(args, vectors, name)
        print(name, json.dumps(outcome["ours"][name]), file=sys.stderr, flush=True)
    for name in peers:
        outcome["peers"][name] = of_peer(args, folder, name)
        print(PEERS[name], name, json.dumps(outcome["peers"][name]), file=sys.stderr, flush=True)
        if (twin := TWINS.get(name)) in ours:
            model = args.work / f"ours-{twin}" / "model"
            outcome["rows"][name] = apart(model, args.work / f"peer-{name}" / "rows.npy")
            if name != "wechsel":  # which predicts overlapping tokens too
                outcome["rows"][name]["with_its_overlap"] = with_its_overlap(args, folder, name)
            print("rows of", name, json.dumps(outcome["rows"][name]), file=sys.stderr, flush=True)
    used = {
        name: facts for name in dict.fromkeys(PEERS[peer] for peer in peers) if (facts := versions(args.work, name))
    }
    print(json.dumps(outcome | {"machine": machine(), "versions": used}))
    return 0


def check(parser: argparse.ArgumentParser, args: argparse.Namespace, peers: list[str]) -> None:
    """Refuse in one line, before any work, what cannot work."""
    wanted = {"source": "config.json", "tokenizer": "tokenizer.json", "data": "tatoeba"}
    wanted |= {"donor": "config.json"} if args.donor else {}
    for name, inside in wanted.items():
        folder: Path = getattr(args, name)
        if not (folder / inside).exists():
            parser.error(f"--{name} {folder}: no {inside} in it")
    for name in ("source", "donor") if args.donor else ("source",):
        kind = json.loads((getattr(args, name) / "config.json").read_text(encoding="utf-8")).get("model_type")
        if kind != "bert":
            parser.error(f"--{name} {getattr(args, name)}: a {kind}, not a bert")
    asked_for = [*(PEERS[name] for name in peers), *(name.partition(":")[0] for name in args.ours or ())]
    for name in ("mergekit", "omp"):
        if args.donor is None and name in asked_for:
            parser.error(f"{name} needs a donor: name a BERT with the target's tokenizer by --donor")


def prepare(args: argparse.Namespace, parallel: Path, vectors: Path) -> Path:
    """The folder that the packages read (``peer_driver.py`` says what it holds)."""
    from hyperofa.base.wordkeys import STORED
    from hyperofa.init.problem import subword_vectors
    from hyperofa.vectors.store import WordVectors
    from hyperofa.vocab.matching import match
    from hyperofa.vocab.report import load_tokenizer
    from hyperofa_eval.text.textfiles import read_lines

    folder: Path = args.work / "input"
    if (folder / "input.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    store = WordVectors.open(vectors)
    counts = store.counts
    if counts is None:
        sys.exit(f"{vectors}: no counts of its words; remove it, it is built again with them")
    parsed = [STORED.parse(key) for key in store.words]
    rows = [i for i, key in enumerate(parsed) if key is not None]
    lines = (f"{key[0]}\t{key[1]}\t{counts[i]}" for i, key in enumerate(parsed) if key is not None)
    (folder / "words.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    np.save(folder / "vectors.npy", np.asarray(store.vectors[rows], dtype=np.float32))
    words = match(store.words, load_tokenizer(str(args.tokenizer)), cache=args.work).matrix
    np.save(folder / "token_vectors.npy", subword_vectors(words, np.arange(words.shape[0]), store.vectors))
    with (folder / "text.txt").open("w", encoding="utf-8") as out:
        for path in sorted(parallel.glob("*.tsv")):
            out.writelines(f"{line.partition(chr(9))[2]}\n" for line in read_lines(path))
    places = {name: str(getattr(args, name).resolve()) for name in ("source", "tokenizer")}
    places |= {"donor": str(args.donor.resolve()) if args.donor else None, "language": args.language}
    (folder / "input.json").write_text(json.dumps(places), encoding="utf-8")
    return folder


def environment(work: Path, package: str) -> Path:
    """The interpreter of the package's own environment, made if it is not there."""
    folder = work / f"env-{package}"
    python = folder / "bin" / "python"
    if not (folder / "installed").is_file():
        print("making an environment for", PACKAGES[package], file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        inside = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        )
        # Gigabytes such as torch are not installed once more: what this environment has comes after the package's own.
        (Path(inside.stdout.strip()) / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        command = [python, "-m", "pip", "install", "-q", PACKAGES[package]]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            sys.exit(f"pip could not install {PACKAGES[package]}: {lines[-1] if lines else done.stderr[-300:]}")
        (folder / "installed").write_text(PACKAGES[package])
    return python


def of_peer(args: argparse.Namespace, folder: Path, name: str) -> dict[str, Any]:
    """Score, seconds and memory of one package on the input in ``folder``."""
    cell: Path = args.work / f"peer-{name}"
    if not (cell / "cost.json").is_file():
        python = environment(args.work, PEERS[name])
        cell.mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        caches = {key: str((args.work / "caches").resolve()) for key in ("HF_HOME", "XDG_CACHE_HOME", "NLTK_DATA")}
        cost = measured([python, DRIVER, name, folder, cell], kept | caches | {"HF_HUB_OFFLINE": "1"}, cell / "log")
        (cell / "cost.json").write_text(json.dumps(cost), encoding="utf-8")
    if not (cell / "model" / "config.json").is_file():
        write_model(args, np.load(cell / "rows.npy"), cell / "model")
    outcome = scored(args, cell)
    if PEERS[name] != "mergekit":
        copied: Path = args.work / f"peer-{name}-specials"
        if not (copied / "model" / "config.json").is_file():
            copied.mkdir(parents=True, exist_ok=True)
            write_model(args, with_special_rows(args, np.load(cell / "rows.npy")), copied / "model")
        outcome["with_specials_copied"] = scored(args, copied)["sr_t_top10"]
    own = json.loads((cell / "driver.json").read_text(encoding="utf-8"))
    cost = json.loads((cell / "cost.json").read_text(encoding="utf-8"))
    cost["seconds"] = round(cost["seconds"] + own["before"], 1)
    return outcome | cost | {"own_seconds": own["seconds"]}


def of_ours(args: argparse.Namespace, vectors: Path, name: str) -> dict[str, Any]:
    """Score, seconds and memory of one of our methods."""
    cell: Path = args.work / f"ours-{name}"
    if not (cell / "cost.json").is_file():
        cell.mkdir(parents=True, exist_ok=True)
        words: list[Any] = ["init", "--source", args.source, "--tokenizer", args.tokenizer]
        method, _, options = name.partition(":")
        words += ["--donor", args.donor] if method == "omp" else ["--vectors", vectors]
        words += ["--parallel", args.work / "parallel"] if method == DEFAULT else ["--method", method]
        words += ["--held-out", "0", "--out", cell / "model"]
        words += [word for option in options.split(",") if option for word in ("--option", option)]
        cost = measured([sys.executable, "-m", "hyperofa.cli", *words], dict(os.environ), cell / "log")
        (cell / "cost.json").write_text(json.dumps(cost), encoding="utf-8")
    return scored(args, cell) | json.loads((cell / "cost.json").read_text(encoding="utf-8"))


def measured(command: list[Any], environment: dict[str, str], log: Path) -> dict[str, float]:
    """Seconds and peak memory (GB, no less than this process's) of a command, whose output goes to ``log``.

    Ends with the command's last line where it fails.
    """
    print("$", *command, file=sys.stderr, flush=True)
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen([str(word) for word in command], env=environment, stdout=out, stderr=out)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        sys.exit(
            f"{log}: ended with {process.returncode}: {next((line for line in reversed(lines) if line.strip()), '')}"
        )
    return {"seconds": round(time.perf_counter() - began, 1), "peak_gb": round(used.ru_maxrss / 1e6, 2)}


def write_model(args: argparse.Namespace, rows: np.ndarray, out: Path) -> None:
    """A model directory: the source with ``rows`` (V_t, D) as its embeddings."""
    import torch

    from hyperofa.model import assemble, load_source
    from hyperofa.vocab.report import load_tokenizer

    tokenizer = load_tokenizer(str(args.tokenizer))
    source = load_source(args.source)
    bias = None if source.head_bias is None else torch.zeros(len(rows))
    model = assemble(source, tokenizer, coordinates=torch.from_numpy(rows), primitives=None, head_bias=bias)
    temporary = out.with_name("model.tmp")
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    temporary.rename(out)


def with_special_rows(args: argparse.Namespace, rows: np.ndarray) -> np.ndarray:
    """``rows`` (V_t, D) with special tokens copied by role, where WECHSEL and FOCUS draw all that are spelled otherwise."""
    from hyperofa.model import load_source
    from hyperofa.vocab.overlap import find_overlap
    from hyperofa.vocab.report import load_tokenizer

    met = find_overlap(load_tokenizer(str(args.source)), load_tokenizer(str(args.tokenizer))).special_ids
    rows[met >= 0] = load_source(args.source).input_embeddings.numpy()[met[met >= 0]]
    return rows


def scored(args: argparse.Namespace, cell: Path) -> dict[str, Any]:
    """SR-T top-10 of a cell's model: the mean, and each language's."""
    if not (cell / "eval" / "summary.json").is_file():
        words: list[Any] = ["run", cell / "model", "--tasks", "sr-t", "--data", args.data, "--out", cell / "eval"]
        run("hyperofa_eval", *words, *(["--languages", args.languages] if args.languages else []))
    task = json.loads((cell / "eval" / "summary.json").read_text(encoding="utf-8"))["tasks"]["sr-t"]
    return {
        "sr_t_top10": round(task["mean"], 2),
        "ci95": [round(end, 2) for end in task["ci95"]],
        "languages": task["n_languages"],
    }


def apart(model: Path, rows: Path) -> dict[str, Any]:
    """How far our rows and the package's are apart, over the tokens that ours predicts and theirs does not leave at noise."""
    from safetensors.numpy import load_file

    from hyperofa.init.provenance import PREDICTED, Provenance

    ours = next(value for key, value in load_file(model / "model.safetensors").items() if "word_embeddings" in key)
    ids = np.flatnonzero(Provenance.load(model).code == PREDICTED)
    gaps = np.abs(ours[ids] - np.load(rows, mmap_mode="r")[ids]).max(axis=1)
    spread = {
        "largest_of_99_percent": float(np.quantile(gaps, 0.99)),
        "row_entry_deviation": round(float(ours.std()), 4),
    }
    return agreement(gaps) | spread


def agreement(gaps: np.ndarray) -> dict[str, Any]:
    """How many tokens there are, in how many both rows are the same, and the largest difference of an entry, of (n,) such."""
    return {"tokens": len(gaps), "equal": int((gaps <= NEAR).sum()), "largest": float(gaps.max(initial=0))}


def with_its_overlap(args: argparse.Namespace, folder: Path, name: str) -> dict[str, Any]:
    """How far our method and the package are apart where ours takes the package's overlapping tokens (of OMP 500 new tokens).

    The packages give a token without a word boundary the source's continuation of a word. For a comma of XLM-R that is BERT's
    ``##,``, which its tokenizer never makes; ours is BERT's ``,``.
    """
    from hyperofa.init.donor.pursuit import pursue
    from hyperofa.init.linalg import combine, normalise_rows
    from hyperofa.init.methods.focus import sparsemax_means
    from hyperofa.init.provenance import PREDICTED, Provenance
    from hyperofa.model import load_source

    source = load_source(args.source).input_embeddings.float().numpy()
    places = {row.tobytes(): i for i, row in enumerate(source)}
    rows = np.load(args.work / f"peer-{name}" / "rows.npy")
    source_ids = np.array([places.get(row.tobytes(), -1) for row in rows])
    provenance, shares = Provenance.load(args.work / f"ours-{TWINS[name]}" / "model"), source_ids >= 0
    is_new, other = (provenance.code == PREDICTED) & ~shares, shares & (provenance.source_id != source_ids)
    if name == "focus":
        vectors = np.load(folder / "token_vectors.npy").astype(np.float32)
        known, units = vectors.any(axis=1), normalise_rows(vectors)
        ids, shared = np.flatnonzero(is_new & known), np.flatnonzero(shares & known)
        ours = sparsemax_means(units[ids], units[shared], source[source_ids[shared]], len(shared))
    else:
        donor = load_source(args.donor).input_embeddings.float().numpy()
        ids, shared = np.flatnonzero(is_new), np.flatnonzero(shares)
        ids = np.sort(np.random.default_rng(0).permutation(ids)[:500])
        parts = pursue(donor[ids], donor[shared], 64)
        ours = np.concatenate([combine(weights, source_ids[shared[chosen]], source) for _, chosen, weights in parts])
    overlap = {"overlapping": int(shares.sum()), "of_another_source_token_in_ours": int(other.sum())}
    return agreement(np.abs(ours - rows[ids]).max(axis=1)) | overlap


def versions(work: Path, package: str) -> dict[str, str]:
    """The versions that the package's environment has of it and of what it computes with."""
    names = [package, "torch", "transformers", "numpy", "gensim", "fasttext", "entmax"]
    ask = "import sys, json; from importlib.metadata import distributions as d; f = {}\n"
    ask += "[f.setdefault(one.name, one.version) for one in d()]\nprint(json.dumps({n: f[n] for n in sys.argv[1:] if n in f}))"
    python = work / f"env-{package}" / "bin" / "python"
    if not python.is_file():
        return {}
    packages: dict[str, str] = json.loads(
        subprocess.run([python, "-c", ask, *names], check=True, capture_output=True).stdout
    )
    return packages


def machine() -> dict[str, Any]:
    """What it ran on."""
    name, threads = platform.processor() or platform.machine(), os.environ.get("OMP_NUM_THREADS")
    return {"processor": name, "cores": os.cpu_count(), "threads": threads, "python": platform.python_version()}


if __name__ == "__main__":
    sys.exit(main())
