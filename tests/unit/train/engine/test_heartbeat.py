from __future__ import annotations

import torch

from hyperofa.train.engine import heartbeat
from hyperofa.train.engine.heartbeat import Heartbeat


def test_names_the_rank_that_stopped_counting(monkeypatch):
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.02)
    monkeypatch.setattr(heartbeat, "SILENCE", 0.4)
    store = torch.distributed.HashStore()
    alive, stuck = Heartbeat(store, 0, 3), Heartbeat(store, 1, 3)
    stuck.stop()
    silent = alive.silent_ranks()
    alive.stop()
    assert len(silent) == 2
    assert silent[0].startswith("rank 1 on ")
    assert "pid" in silent[0]
    assert silent[1] == "rank 2 on ?"
