"""The numbers that a setting may take."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Finite numbers from ``low`` (itself left out where ``above``) to ``high`` (left out where ``below``)."""

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, number: float) -> bool:
        return (
            math.isfinite(number)
            and self.low <= number <= self.high
            and not (self.above and number == self.low)
            and not (self.below and number == self.high)
        )

    def __str__(self) -> str:
        if self.high < math.inf:
            return f"in {'(' if self.above else '['}{self.low}, {self.high}{')' if self.below else ']'}"
        return f"a number above {self.low}" if self.above else f"a number of {self.low} or more"
