"""Hypernetworks: from the set of a token's word vectors to its row; networks, data, losses, fitting."""

from __future__ import annotations

from hyperofa.init.hypernet.fit import FitConfig, FitReport, fit, predict
from hyperofa.init.hypernet.networks import NETWORKS, NetworkConfig, build_network
from hyperofa.init.hypernet.sets import WordSets

__all__ = ["NETWORKS", "FitConfig", "FitReport", "NetworkConfig", "WordSets", "build_network", "fit", "predict"]
