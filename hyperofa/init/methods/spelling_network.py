"""The method ``spelling-network``: a network, learned on the source's own tokens, makes a row of those of a token's pieces."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hyperofa.init.method import Method
from hyperofa.init.problem import Problem
from hyperofa.init.spelling.settings import NetworkSettings
from hyperofa_eval.settings.fields import setting

if TYPE_CHECKING:
    from hyperofa.init.spelling.candidates import Candidates

log = logging.getLogger(__name__)

_SPELLED = 2.0
"""Mean characters of the pieces of new tokens from which a source is taken to know their languages (e5 2.3, MiniLM 1.6)."""

Start = Literal["pieces", "vectors"]
Mix = Literal["network", "half", "base"]


@dataclass(frozen=True, kw_only=True)
class SpellingNetworkSettings(NetworkSettings):
    """How the network learns, and how its rows and the base's are put together."""

    base: Literal["auto", "pieces", "vectors"] = setting(
        "auto",
        "what the network is mixed with: the mean of a token's pieces, or what word vectors tell where there are some",
    )
    mix: Literal["auto", "network", "half", "base"] = setting("auto", "which of the two, or half of each")
    norm: Literal["auto", "as-predicted", "source"] = setting(
        "auto", "length of the rows; source: the mean length of the source's about their mean"
    )


def spelling_network(problem: Problem) -> np.ndarray:
    """Rows (m, r) of the tokens to predict.

    A regression and a small network learn the source's own tokens from the rows of the pieces that would spell them if they
    were not there (and their words' vectors, where given). Their rows, those of a base (mean of pieces, or ``ofa-ridge``) or
    half of each are taken: as asked, else by ``problem.judge``, else by a rule (docs/initialisation.md).

    Raises:
        HyperofaError: the loss became NaN.
    """
    from hyperofa.init.spelling.candidates import make_candidates

    settings: SpellingNetworkSettings = problem.settings
    candidates = make_candidates(problem, settings, at_source_length=_norm(problem, settings) == "source")
    choices = _choices(problem, settings, candidates)

    def rows_of(choice: tuple[Start, Mix]) -> np.ndarray:
        return mixed(problem, settings, candidates, *choice)

    chosen, losses = choices[0], None
    if len(choices) > 1 and problem.judge is not None:
        losses = [problem.judge(rows_of(choice)) for choice in choices]
        chosen = choices[int(np.argmin(np.nan_to_num(losses, nan=np.inf)))]
    problem.notes["choice"] = {
        "base": chosen[0],
        "mix": chosen[1],
        "norm": _norm(problem, settings),
        "by": "settings" if len(choices) == 1 else "rule" if losses is None else "held-out text",
        "losses": losses and {"+".join(c): round(float(x), 5) for c, x in zip(choices, losses, strict=True)},
    }
    return rows_of(chosen)


def mixed(
    problem: Problem, settings: SpellingNetworkSettings, candidates: Candidates, base: Start, mix: Mix
) -> np.ndarray:
    """The rows of one choice; where word vectors tell nothing of a token, the network's over its pieces stand."""
    length: Callable[[np.ndarray], np.ndarray] = lambda rows: rows  # noqa: E731
    if _norm(problem, settings) == "source":
        from hyperofa.init.spelling.candidates import at_length

        def length(rows: np.ndarray) -> np.ndarray:
            return at_length(rows, problem)

    network = length(candidates.network)
    if base == "pieces" or candidates.vectors is None:
        start, has_base = candidates.pieces, candidates.counts > 0
    else:
        start, has_base = candidates.vectors
    share = {"network": 1.0, "half": 0.5, "base": 0.0}[mix]
    rows = (share * network + (1 - share) * start).astype(np.float32)
    if mix == "half":
        rows = length(rows)
    return np.where(has_base[:, None], rows, network)


def _choices(problem: Problem, settings: SpellingNetworkSettings, candidates: Candidates) -> list[tuple[Start, Mix]]:
    """The choices that the settings leave, the rule's first."""
    start: Start = "pieces"
    if candidates.vectors is not None and (
        settings.base == "vectors"
        or (settings.base == "auto" and candidates.characters < _SPELLED and not problem.causal)
    ):
        start = "vectors"
    mix: Mix = "half" if problem.causal else "base" if start == "vectors" else "network"
    starts: list[Start] = [start]
    if settings.base == "auto" and candidates.vectors is not None:
        starts.append("pieces" if start == "vectors" else "vectors")
    mixes: list[Mix] = [mix, *(one for one in ("network", "half", "base") if one != mix)]
    if settings.mix != "auto":
        mixes = [settings.mix]
    return [(s, m) for s in starts for m in mixes if not (s == "vectors" and m == "network" and "pieces" in starts)]


def _norm(problem: Problem, settings: SpellingNetworkSettings) -> Literal["as-predicted", "source"]:
    """A row's length under a tied head says how often its token comes; elsewhere only how much it is heard."""
    if settings.norm != "auto":
        return settings.norm
    return "as-predicted" if problem.causal else "source"


SPELLING_NETWORK = Method(
    "spelling-network",
    "a network makes the row of the rows of the token's pieces, and of its words where vectors are given",
    spelling_network,
    SpellingNetworkSettings,
    reads_text=True,
    uses_words=False,
    knows=("pieces", "words", "donor"),
    trains=True,
)
