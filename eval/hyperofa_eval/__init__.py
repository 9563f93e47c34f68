"""Zero-shot cross-lingual evaluation: sentence retrieval, tagging and language modelling, of any model.

``hyperofa_eval.evaluate`` scores a model from Python; it is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperofa_eval.api import evaluate

__all__ = ["__version__", "evaluate"]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    if name != "evaluate":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hyperofa_eval.api import evaluate

    return evaluate
