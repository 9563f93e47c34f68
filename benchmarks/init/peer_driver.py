"""Runs one other package on our input, inside that package's own environment; ``peers.py`` starts it. Imports nothing of ours.

    python benchmarks/init/peer_driver.py KIND INPUT OUT

``INPUT`` holds ``input.json`` (places of source model, target tokenizer, donor), ``words.tsv`` (language, word, count),
``vectors.npy`` (n, d), ``token_vectors.npy`` (V_t, d; zero where a token has no word), ``text.txt`` (a sentence a line).
``OUT`` gets ``rows.npy`` (V_t, D) float32, the embeddings that the package makes, and ``driver.json`` (seconds of the package's
own work, peak memory).
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

EMBEDDINGS = "embeddings.word_embeddings.weight"
PART = 2048
"""New tokens that FOCUS is given at a time: each is worked out alone, and a run of an hour can then be interrupted."""
BEFORE: list[float] = []
"""Seconds that earlier, interrupted runs spent on what this one took over."""


def read_embeddings(folder: Path) -> np.ndarray:
    """The input embeddings (V, D) float32 of a BERT in ``folder``."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                if name.endswith(EMBEDDINGS):
                    matrix: np.ndarray = file.get_tensor(name).float().numpy()
                    return matrix
    raise SystemExit(f"{folder}: no {EMBEDDINGS} in its safetensors files")


def read_tokenizer(folder: str) -> Any:
    """The tokenizer of a folder, as transformers has it."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def word2vec(languages: list[str], words: list[str], counts: np.ndarray, vectors: np.ndarray, only: str | None) -> Any:
    """A gensim model of the words of one language, or all; equal spellings are one word, at the mean by their counts.

    The package takes a token's mean over its words by their counts, so a spelling's own mean changes nothing there.
    """
    from gensim.models import Word2Vec

    totals: dict[str, int] = {}
    sums: dict[str, np.ndarray] = {}
    for language, word, count, vector in zip(languages, words, counts.tolist(), vectors, strict=True):
        if only is None or language == only:
            totals[word] = totals.get(word, 0) + count
            sums[word] = sums.get(word, 0) + count * vector.astype(np.float64)
    model = Word2Vec(vector_size=vectors.shape[1], min_count=1)
    model.build_vocab_from_freq(totals)
    rows = [sums[word] / totals[word] for word in model.wv.index_to_key]
    model.wv.vectors = np.array(rows, dtype=np.float32)
    return model


def run_wechsel(args: dict[str, Any], folder: Path, out: Path) -> Callable[[], np.ndarray]:
    """WECHSEL on words with counts: the source side has the words of the source's language, the target side all words."""
    from wechsel import WECHSEL

    lines = [line.split("\t") for line in (folder / "words.tsv").read_text(encoding="utf-8").splitlines()]
    languages, words, numbers = ([line[i] for line in lines] for i in range(3))
    counts, vectors = np.array(numbers, dtype=np.int64), np.load(folder / "vectors.npy")
    first, second = (word2vec(languages, words, counts, vectors, only) for only in (args["language"], None))
    source, target = read_tokenizer(args["source"]), read_tokenizer(args["tokenizer"])
    matrix = read_embeddings(Path(args["source"]))

    def make() -> np.ndarray:
        rows, _ = WECHSEL(first, second, align_strategy=None).apply(source, target, matrix, use_subword_info=False)
        return np.asarray(rows)

    return make


def run_focus(args: dict[str, Any], folder: Path, out: Path, *, own: bool) -> Callable[[], np.ndarray]:
    """FOCUS: with its own fastText on the text, or with our token vectors in the place of the fastText model."""
    import torch
    from deepfocus import focus

    source, target = read_tokenizer(args["source"]), read_tokenizer(args["tokenizer"])
    matrix = torch.from_numpy(read_embeddings(Path(args["source"])))
    text: str | None = str(folder / "text.txt")
    if not own:
        vectors = np.load(folder / "token_vectors.npy")
        there = {token: vectors[i] for token, i in target.get_vocab().items() if vectors[i].any()}
        focus.load_target_token_embedding = lambda **ignored: there
    whole, batches = focus.focus_additional_token_initialization, out / "batches"

    def some(shared: Any, new: dict[str, Any], ids: list[int], target_rows: Any, **given: Any) -> Any:
        return whole(shared, new, target_rows, **given)[ids]

    some_kept = kept(some, batches)

    def in_parts(shared: Any, new: dict[str, Any], target_rows: Any, **given: Any) -> Any:
        names = list(new)
        for start in range(0, len(names), PART):
            part = {name: new[name] for name in names[start : start + PART]}
            ids = [token.target.id for token in part.values()]
            target_rows[ids] = some_kept(shared, part, ids, target_rows, **given)
        return target_rows

    focus.focus_additional_token_initialization = in_parts

    def make() -> np.ndarray:
        return focus.FOCUS(target, source, matrix, target_training_data_path=text, processes=1).numpy()

    return make


def run_mergekit(args: dict[str, Any], folder: Path, out: Path, *, corrected: bool) -> Callable[[], np.ndarray]:
    """The tokensurgeon of mergekit with a donor: orthogonal matching pursuit, as shipped or with corrected names of tokens.

    It takes every tokenizer that is not of GPT-2's or Llama's class for one that marks the start of a word by ``Ġ``, so
    WordPiece's and XLM-R's tokens meet by chance. Corrected, both are named alike.
    """
    from mergekit.scripts import tokensurgeon
    from mergekit.tokenizer.normalization import TokenMarker

    def named(tokenizer: Any) -> dict[Any, int]:
        vocab = tokenizer.get_vocab()
        roles = {token: role for role, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
        pieces = any(token.startswith("##") for token in vocab)
        names: dict[Any, int] = {}
        for token, i in vocab.items():
            if token in roles:
                names[TokenMarker.SPECIAL, roles[token]] = i
            elif pieces:
                names[token[2:] if token.startswith("##") else (TokenMarker.WORD_START, token)] = i
            else:
                names[(TokenMarker.WORD_START, token[1:]) if token.startswith("▁") else token] = i
        return names

    if corrected:
        tokensurgeon.normalized_vocabulary = named
    tokensurgeon.compute_new_embeddings = kept(tokensurgeon.compute_new_embeddings, out / "batches")

    model, donor = (with_head(args[name], out / f"{name}-with-head") for name in ("source", "donor"))

    def make() -> np.ndarray:
        words = [model, donor, str(out / "merged"), "--approximation-method", "omp", "--k", "64"]
        tokensurgeon.main(words, standalone_mode=False)
        return read_embeddings(out / "merged")

    return make


def kept(compute: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """``compute``, a batch of rows a call, with the batches of an interrupted run taken from ``folder``."""
    import torch

    calls = itertools.count()
    folder.mkdir(parents=True, exist_ok=True)

    def call(*given: Any, **named: Any) -> Any:
        path = folder / f"{next(calls):05d}.npz"
        if path.is_file():
            stored = np.load(path)
            BEFORE.append(float(stored["seconds"]))
            return torch.from_numpy(stored["rows"])
        began = time.perf_counter()
        rows = compute(*given, **named)
        temporary = path.with_suffix(".tmp.npz")
        np.savez(temporary, rows=rows.numpy(), seconds=time.perf_counter() - began)
        temporary.rename(path)
        return rows

    return call


def with_head(folder: str, out: Path) -> str:
    """A copy of a BERT with what mergekit asks for: a pooler, and a tied language-model head, made new where it has none."""
    from safetensors.torch import load_file, save_file
    from transformers import BertForMaskedLM, BertModel

    BertForMaskedLM.from_pretrained(folder).save_pretrained(out)
    file = out / "model.safetensors"
    pooler = BertModel.from_pretrained(folder).pooler.state_dict()
    save_file(
        load_file(file) | {f"bert.pooler.{name}": value for name, value in pooler.items()}, file, {"format": "pt"}
    )
    read_tokenizer(folder).save_pretrained(out)
    return str(out)


KINDS: dict[str, Callable[[dict[str, Any], Path, Path], Callable[[], np.ndarray]]] = {
    "wechsel": run_wechsel,
    "focus": lambda *given: run_focus(*given, own=False),
    "focus-fasttext": lambda *given: run_focus(*given, own=True),
    "mergekit-omp": lambda *given: run_mergekit(*given, corrected=False),
    "mergekit-omp-named": lambda *given: run_mergekit(*given, corrected=True),
}


def main() -> int:
    """Run one package; see the module's text."""
    kind, folder, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    args = json.loads((folder / "input.json").read_text(encoding="utf-8"))
    make = KINDS[kind](args, folder, out)
    began = time.perf_counter()
    rows = make()
    seconds = round(time.perf_counter() - began + sum(BEFORE), 1)
    np.save(out / "rows.npy", np.asarray(rows, dtype=np.float32))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    facts = {"seconds": seconds, "before": round(sum(BEFORE), 1), "peak_gb": round(peak, 2)}
    (out / "driver.json").write_text(json.dumps(facts), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
