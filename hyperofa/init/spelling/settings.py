"""The settings of the spelling network."""

from __future__ import annotations

from dataclasses import dataclass

from hyperofa_eval.settings.fields import Range, Settings, setting


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Settings):
    """The network's shape and how it learns (docs/notes/spelling-network.md says how the defaults were chosen)."""

    hidden: int = setting(1024, "width of the network", range=Range(1))
    layers: int = setting(2, "layers of that width; 0 leaves a linear map", range=Range(0))
    dropout: float = setting(0.1, "rate of dropout", range=Range(0, 1, below=True))
    epochs: int | None = setting(None, "passes over the source's tokens (default: by their number)", range=Range(0))
    batch_size: int = setting(512, "tokens of a batch", range=Range(1))
    learning_rate: float = setting(1e-3, "highest learning rate of AdamW", range=Range(0, above=True))
    ridge_penalty: float = setting(
        1.0, "penalty of the linear map that the network begins as", range=Range(0, above=True)
    )
    squared_error: float = setting(0.5, "weight of the squared error in the loss, beside 1 - cosine", range=Range(0))
    finer: float | None = setting(
        None,
        "share of pieces that are hidden, and spelled by smaller ones (default: until tokens have as many as new ones)",
        range=Range(0, 0.5),
    )
    absent: float = setting(0.15, "share of tokens that learn without other evidence", range=Range(0, 1, below=True))
    place: float = setting(
        0.1,
        "new tokens are taken to be as frequent as the one at this share of the source's vocabulary; those that the text "
        "lacks, as such source tokens",
        range=Range(0, 1),
    )
    model_steps: int = setting(
        80, "where text is given: steps of learning through the frozen source model, after that on rows", range=Range(0)
    )
    model_learning_rate: float = setting(3e-4, "learning rate of these steps", range=Range(0, above=True))
    held_out: int = setting(2000, "source tokens kept out of learning, a twentieth at most", range=Range(0))
    bf16: bool | None = setting(
        None, "products in bfloat16, weights and sums in float32 (default: where the device has them)"
    )
    device: str = setting("auto", "auto is a GPU where there is one")

    def check(self) -> None:
        """The device's name is one."""
        if self.device not in ("auto", "cpu"):
            from hyperofa.base.device import check_device

            check_device(self.device, "spelling network")
