"""The settings of an evaluation, on the command line, in recipes and in training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hyperofa_eval.settings.fields import Range, SettingError, Settings, place, setting

NumberFormat = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class TaskSettings(Settings):
    """What tasks are asked for; None leaves the protocol's own choice."""

    protocol: str = setting("default", "how scores are computed: default or paper")
    block: int | str | None = setting(None, "retrieval: 1-based block, auto (two thirds of the depth) or all")
    pooling: str | None = setting(None, "retrieval: mean, mean-all (with specials), cls or last")
    prompt: str | None = setting(
        None,
        "retrieval: words before every text, such as 'query: ' (default: the model's own, where its files name one)",
    )
    direction: str | None = setting(None, "retrieval: en-x, x-en or both")
    csls: bool = setting(False, "retrieval: rank by CSLS instead of the cosine")
    learning_rate: float | None = setting(None, "tagging: peak learning rate of the fine-tuning (default: 2e-5)")
    epochs: int | None = setting(None, "tagging: passes over the English training set (default: 10)")
    train_batch_size: int | None = setting(
        None, "tagging: sentences in a step of the fine-tuning (default: 32)", range=Range(1)
    )
    warmup: float | None = setting(
        None, "tagging: share of the steps in which the learning rate rises (default: 0)", range=Range(0, 1, below=True)
    )
    limit: int | None = setting(
        None, "score the first N items of a language only; marked in the results", metavar="N", range=Range(1)
    )
    aliases: bool = setting(False, "let zho stand for cmn, fas for pes, msa for zsm, swa for swh")
    extensions: tuple[Path, ...] = place(
        (), "files of your own tasks or languages", flag="--with", append=True, metavar="FILE.py"
    )

    def check(self) -> None:
        """A block is a number, auto or all."""
        if isinstance(self.block, str) and self.block not in {"auto", "all"}:
            raise SettingError("block", f"{self.block!r} is neither a number, auto nor all")


@dataclass(frozen=True, kw_only=True)
class RunSettings(TaskSettings):
    """The settings of ``hyperofa-eval run``."""

    seeds: tuple[int, ...] = setting(
        (0,), "comma-separated seeds (retrieval uses the first only)", flag="--seed", separator=",", range=Range(0)
    )
    beside: tuple[str, ...] = setting(
        (),
        "comma-separated languages scored beside the others, such as those that the model knew before: they have a row, but "
        "no part in the mean",
        separator=",",
    )
    batch_size: int = setting(64, "sequences in one forward pass", range=Range(1))
    device: str = setting("auto", "auto, cpu, cuda, cuda:1 …")
    dtype: NumberFormat = setting("float32", "number format of the weights")
    cache: Path | None = place(None, "keep encodings in this folder, found by content")
    remote_code: bool = setting(False, "run Python code that comes with the checkpoint")
