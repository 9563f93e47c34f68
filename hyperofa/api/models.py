"""Models from Python: extended in memory, then saved, or pushed to the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hyperofa.base.files import new_directory, temporary_directory
from hyperofa.base.textfiles import Paths, Texts, language_files, path_of, paths_of
from hyperofa.errors import HyperofaError
from hyperofa.init.settings import InitSettings
from hyperofa_eval.base.files import write_json
from hyperofa_eval.settings.config import build_config
from hyperofa_eval.settings.keywords import takes

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hyperofa.init.provenance import Provenance
    from hyperofa.vectors.store import WordVectors

MARKER = "init.json"


@dataclass(frozen=True)
class Extended:
    """A model with the embeddings of a larger vocabulary.

    Attributes:
        model: the transformers model, in memory.
        tokenizer: of the larger vocabulary.
        report: what ``init.json`` holds: inputs and settings, rows by provenance, quality figures, the verdict.
        provenance: ``.code``, ``.source_id``, ``.n_words`` and ``.evidence`` (each (V,)): where each row comes from, and of what.
        source: the model that was extended, a directory or hub id. Its sentence-transformers modules are saved with the model.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    report: dict[str, Any]
    provenance: Provenance
    source: str

    @property
    def verdict(self) -> str:
        """One line: is it better than its source with the source's own tokenizer? ``report["verdict"]`` has the figures."""
        from hyperofa.init.quality.verdict_words import verdict_line

        return verdict_line(self.report)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a model directory: model, tokenizer, ``provenance.safetensors``, ``init.json`` and a model card.

        It appears whole or not at all, and replaces only an empty directory or an earlier result.

        Raises:
            InputError: the folder holds something else.
            HyperofaError: the model cannot be written.
        """
        from safetensors import SafetensorError

        from hyperofa.base.sentence_modules import carry_sentence_modules
        from hyperofa.init.quality.card import write_card

        with new_directory(path_of(folder, "folder"), MARKER) as new:
            try:
                self.model.save_pretrained(new)
                self.tokenizer.save_pretrained(new)
                self.provenance.save(new)
            except SafetensorError as error:  # the library turns the system's errors, such as a full disk, into its own
                raise HyperofaError(f"cannot write the model ({error})", where=new.parent) from error
            carry_sentence_modules(self.source, new)
            write_json(new / MARKER, self.report)
            write_card(new, self.report)

    def push_to_hub(
        self, repo_id: str, *, private: bool | None = None, token: str | bool | None = None, **kwargs: Any
    ) -> str:
        """Upload what :meth:`save_pretrained` writes to the hub's repository ``repo_id``, which is made if needed.

        Args:
            repo_id: ``owner/name``.
            private: whether a new repository is private.
            token: of the hub; by default the one of ``hf auth login``.
            **kwargs: of ``huggingface_hub.HfApi.upload_folder``, such as ``commit_message``, ``revision``, ``create_pr``.

        Returns:
            The address of the commit.

        Raises:
            HyperofaError: the hub refuses it, or cannot be reached.
        """
        from huggingface_hub import HfApi

        from hyperofa_eval.base.guard import reported

        def refuse(line: str) -> NoReturn:
            raise HyperofaError(line, where=f"hub repository {repo_id}")

        api = HfApi(token=token)
        folder, keep = temporary_directory("model")
        with keep:
            self.save_pretrained(folder)
            kwargs.setdefault("commit_message", "Extended vocabulary")
            with reported(refuse):
                repository = api.create_repo(repo_id, private=private, exist_ok=True)
                done = api.upload_folder(repo_id=repository.repo_id, folder_path=folder, **kwargs)
        return str(done.commit_url)


@takes(InitSettings)
def initialise(
    source: str | Path,
    tokenizer: str | Path | PreTrainedTokenizerBase,
    vectors: str | Path | WordVectors | None = None,
    *,
    text: Texts | None = None,
    parallel: Paths = (),
    donor: str | Path | None = None,
    work: str | Path | None = None,
    **settings: Any,
) -> Extended:
    """Extend a model to the tokenizer's vocabulary: rows of new tokens are copied, predicted, or drawn.

    Nothing is written, and nothing of the process is changed for good. One seed gives one result.

    Args:
        source: the model to extend, a directory or hub id.
        tokenizer: of the larger vocabulary: a directory, a hub id, or the tokenizer itself.
        vectors: word vectors, or their directory; published methods but mean, multivariate and random need them.
        text: text to learn from, by language: a mapping from a language to a file or several, or files named ``LANG.txt``.
            Two tenths of the lines, at most 200 each, are kept out. They choose the rows and judge the model.
        parallel: folders of parallel text, used likewise.
        donor: a model with the target tokenizer, a directory or hub id. ``omp`` and ``spelling-network`` use its rows of the
            new tokens.
        work: a folder for intermediate results, from which an interrupted run goes on. It is not removed.
        **settings: listed below.

    Raises:
        InputError: a setting, the tokenizer or the vectors do not fit.
        DataMissingError: an input is not there.
    """
    inputs: dict[str, Any] = {"text": language_files(text or {}), "parallel": paths_of(parallel, "parallel")}
    inputs["donor"] = None if donor is None else str(path_of(donor, "donor"))
    init_settings = build_config(InitSettings, {**inputs, **settings}, "initialise")
    from hyperofa.init.evidence import Places
    from hyperofa.init.pipeline import extend_model
    from hyperofa.init.registry import resolve

    resolved = resolve(init_settings)
    path_of(source, "source")
    words = None if vectors is None else path_of(getattr(vectors, "path", vectors), "vectors")
    state = None if work is None else path_of(work, "work")
    with _folder_of(tokenizer) as place:
        made = extend_model(Places(str(source), place, words, state), resolved)
    return Extended(*made, str(source))


@contextmanager
def _folder_of(tokenizer: Any) -> Iterator[str]:
    """The name of a tokenizer: as it is given, or a temporary folder with the tokenizer."""
    if isinstance(tokenizer, str | Path):
        yield str(tokenizer)
        return
    from hyperofa.vocab.report import load_tokenizer

    folder, keep = temporary_directory("tokenizer")
    with keep:
        load_tokenizer(tokenizer).save_pretrained(folder)
        yield str(folder)
