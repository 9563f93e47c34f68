"""The SLURM script with ``srun``, ``scontrol`` and ``accelerate`` replaced by small scripts that record what they are asked."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "launch" / "slurm" / "train.sh"

SRUN = """#!/usr/bin/env bash
while [[ "$1" == --* ]]; do echo "srun $1" >> "$RECORD"; shift; done
pids=()
trap 'echo "srun: forcing job termination"; kill -KILL "${pids[@]}"' TERM
trap 'kill -USR1 "${pids[@]}"' USR1
for node in $(seq 0 $((SLURM_JOB_NUM_NODES - 1))); do SLURM_NODEID=$node "$@" & pids+=($!); done
code=0
for pid in "${pids[@]}"; do
  wait "$pid" || code=$?
  while kill -0 "$pid" 2>/dev/null; do code=0; wait "$pid" || code=$?; done
done
exit $code
"""
SCONTROL = """#!/usr/bin/env bash
if [ "$1" = show ]; then printf 'node-a\\nnode-b\\n'; else echo "scontrol $*" >> "$RECORD"; fi
"""
ACCELERATE = """#!/usr/bin/env bash
echo "accelerate $*" >> "$RECORD"
if [ "$BEHAVIOUR" = wait ]; then trap 'exit 143' USR1; while true; do sleep 0.05; done; fi
exit "$BEHAVIOUR"
"""


@pytest.fixture
def submit(tmp_path):
    """Start the script as SLURM would, on two nodes of four GPUs; returns the process and the record's path."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("accelerate", ACCELERATE)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    record = tmp_path / "record"
    record.touch()

    def start(behaviour: str, *words: str, **changes: str) -> subprocess.Popen[str]:
        environment = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "RECORD": str(record),
            "BEHAVIOUR": behaviour,
            "SLURM_SUBMIT_DIR": str(ROOT),
            "SLURM_JOB_ID": "4711",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_GPUS_ON_NODE": "4",
            "SLURM_JOB_NODELIST": "node-[a-b]",
            **changes,
        }
        return subprocess.Popen(
            ["bash", str(SCRIPT), *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return start, record


def test_one_launcher_per_node_with_its_rank(submit):
    start, record = submit
    process = start("0", "run.yaml", "steps=5", "name=two words")
    assert process.communicate()[0] == ""
    assert process.returncode == 0
    lines = record.read_text().splitlines()
    launches = sorted(line for line in lines if line.startswith("accelerate"))
    assert len(launches) == 2
    for rank, line in enumerate(launches):
        assert f"--config_file {ROOT}/launch/multi_node.yaml --num_machines 2 --num_processes 8" in line
        assert f"--machine_rank {rank} --main_process_ip node-a --main_process_port 24711" in line
        assert line.endswith("-m hyperofa.train run.yaml steps=5 name=two words")
    assert "srun --ntasks-per-node=1" in lines
    assert not [line for line in lines if line.startswith("scontrol")]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_the_warning_saves_and_requeues(submit, number):
    start, record = submit
    process = start("wait", "run.yaml")
    end = time.monotonic() + 20
    while record.read_text().count("accelerate") < 2 and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(number)
    output = process.communicate(timeout=20)[0]
    assert process.returncode == 0
    assert "putting job 4711 back" in output
    assert "scontrol requeue 4711" in record.read_text().splitlines()


@pytest.mark.parametrize("code", ["1", "2"])
def test_a_failure_is_not_requeued(submit, code):
    start, record = submit
    process = start(code, "run.yaml")
    process.communicate(timeout=20)
    assert process.returncode == int(code)
    assert "requeue" not in record.read_text()


def test_refusals(submit, tmp_path):
    start, _ = submit
    process = start("0")
    assert "usage" in process.communicate()[0]
    assert process.returncode == 2
    process = start("0", "run.yaml", SLURM_SUBMIT_DIR=str(tmp_path))
    assert "no such file" in process.communicate()[0]
    assert process.returncode == 2


def test_the_directives_ask_for_what_the_script_relies_on():
    directives = [line for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    for wanted in ("--requeue", "--signal=B:USR1@300", "--ntasks-per-node=1", "--open-mode=append"):
        assert f"#SBATCH {wanted}" in directives
