"""``hyperofa checkpoint`` on folders of a few bytes."""

from __future__ import annotations

import json

from hyperofa.cli import main
from tests.unit.train.conftest import begin_run


def test_list_shows_the_others_beside_an_unreadable_manifest(settings, tmp_path, write_checkpoint, capsys):
    write_checkpoint(4)
    (write_checkpoint(8) / "manifest.json").write_text("{")
    begin_run(settings(), tmp_path / "run")
    assert main(["checkpoint", "list", str(tmp_path / "run"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["step"], row["problem"] is None) for row in rows] == [(8, False), (4, True)]
    assert main(["checkpoint", "list", str(tmp_path / "run")]) == 0
    assert "step_00000004" in capsys.readouterr().out
