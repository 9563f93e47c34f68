"""Claims on stages: kept by whoever runs them, gone with a process that dies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hyperofa.experiment.workflow.claims import Claims


def test_the_lock_of_a_dead_process_does_not_block(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from hyperofa.experiment.workflow.claims import Claims\n"
    code += "with Claims(Path(sys.argv[1])).take('x'): print('taken', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "taken\n"
    claims = Claims(tmp_path)
    assert claims.taken("x")
    assert f"process {holder.pid} on" in claims.holder("x")
    with claims.take("x") as claim:
        assert claim is None
    holder.kill()
    holder.wait()
    with claims.take("x") as claim:
        assert claim is not None
    assert not claims.taken("x")
    assert claims.holder("x") == "another process"
