"""A transformers model in memory with all that its scores depend on: tokenizer, head, batches, processes, cache."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hyperofa_eval.base.processes import Processes
from hyperofa_eval.models.hashing import hash_head, hash_model, hash_tokenizer

if TYPE_CHECKING:
    from torch import nn

Head = Literal["masked", "causal", "none"]
"""The language-model head that was loaded."""


@dataclass
class LoadedModel:
    """A Hugging Face model, dense or factorised, with its tokenizer.

    ``model`` may carry a language-model head; sentence vectors and taggers use its body alone.
    """

    model: nn.Module
    tokenizer: Any
    name: str
    head: Head = "none"
    batch_size: int = 64
    processes: Processes = field(default_factory=Processes)
    cache: Path | None = None
    unread: frozenset[str] = frozenset()
    """Weights of the body that the checkpoint did not hold and the harness does not use (poolers)."""
    prompt: str = ""
    """What stands before a text whose vector is asked for, where the task does not say."""

    @property
    def device(self) -> str:
        """The name of the device that it works on."""
        return self.processes.device

    @property
    def body(self) -> Any:
        """The model without its head."""
        return self.model.base_model

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What results name: the hashes of the body, of the head where one is loaded, and of the tokenizer; type and size."""
        head = {} if self.head == "none" else {"head_sha256": hash_head(self.model, self.body, self.head)}
        return {
            "name": self.name,
            "sha256": hash_model(self.body, self.unread),
            **head,
            **({"prompt": self.prompt} if self.prompt else {}),
            "tokenizer_sha256": hash_tokenizer(self.tokenizer),
            "model_type": getattr(self.body.config, "model_type", type(self.body).__name__),
            "parameters": sum(p.numel() for p in self.body.parameters()),
            "dtype": str(next(self.body.parameters()).dtype).removeprefix("torch."),
        }
