"""The settings of a hypernetwork and of its fitting; where the paper has a number, it is the default (HyperOFA, §4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hyperofa_eval.settings.fields import Range, SettingError, Settings, setting

NetworkName = Literal["bilstm", "set-transformer", "deep-sets", "attention"]


@dataclass(frozen=True, kw_only=True)
class NetworkKind(Settings):
    """What is set of a network beside its size."""

    network: NetworkName = setting("bilstm", "what is made of the set of a token's words (docs/methods.md)")
    dropout: float = setting(0.4, "rate of dropout", range=Range(0, 1, below=True))
    heads: int = setting(4, "attention heads of the set transformer", range=Range(1))
    neighbours: int = setting(64, "source tokens that attention looks at", range=Range(1))


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(NetworkKind):
    """The shape of a hypernetwork."""

    layers: int = setting(2, "layers of the network", range=Range(1))
    hidden: int = setting(800, "width of the network", range=Range(1))

    def check(self) -> None:
        """The heads of the set transformer share its width."""
        check_heads(self.network, self.hidden, self.heads)


@dataclass(frozen=True, kw_only=True)
class Fitting(Settings):
    """What is set of a fit beside its length and the loss's temperature."""

    batch_size: int = setting(256, "tokens of a batch", range=Range(1))
    learning_rate: float = setting(1e-4, "learning rate of Adam at the start", range=Range(0, above=True))
    decay: float = setting(0.95, "factor by which the learning rate is multiplied", range=Range(0, above=True))
    decay_every: int = setting(10, "epochs between two changes of the learning rate", range=Range(1))
    loss: Literal["paper", "direction"] = setting("paper", "direction: cosines alone, blind to length")
    contrastive_weight: float = setting(0.1, "weight of the contrastive part of the loss", range=Range(0, 1))
    thin: float = setting(0.5, "probability of keeping only 50-100 % of a token's words", range=Range(0, 1))
    held_out: float = setting(
        0.05, "share of the groups kept for validation; 0 fits on everything", range=Range(0, 1, below=True)
    )
    patience: int | None = setting(
        None, "epochs without a better validation loss before stopping (default: run them all)", range=Range(1)
    )
    bf16: bool | None = setting(
        None, "products in bfloat16, weights and sums in float32 (default: where the device has them)"
    )
    device: str = setting("auto", "auto is a GPU where there is one")
    processes: int = setting(
        1, "processes that accelerate launch starts on this machine, one GPU each where there are GPUs", range=Range(1)
    )

    def check(self) -> None:
        """The device's name is one."""
        if self.device not in ("auto", "cpu"):
            from hyperofa.base.device import check_device

            check_device(self.device, "hypernetwork")


@dataclass(frozen=True, kw_only=True)
class FitConfig(Fitting):
    """How a hypernetwork is fitted."""

    epochs: int = setting(120, "passes over the source tokens", range=Range(0))
    temperature: float = setting(0.25, "temperature of the contrastive part of the loss", range=Range(0, above=True))


def check_heads(network: NetworkName, hidden: int | None, heads: int) -> None:
    """Refuse, as :class:`SettingError`, a set transformer whose width its heads cannot share."""
    if network == "set-transformer" and hidden is not None and hidden % heads:
        raise SettingError("hidden", f"{hidden} is no multiple of the set transformer's {heads} heads")
