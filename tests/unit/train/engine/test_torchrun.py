from __future__ import annotations

import re
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest

from hyperofa.train.engine import torchrun


def failed(**codes):
    failures = {
        int(rank[1:]): SimpleNamespace(exitcode=code, timestamp=float(order), pid=100 + order)
        for order, (rank, code) in enumerate(codes.items())
    }
    return SimpleNamespace(failures=failures)


@pytest.mark.parametrize("code", [2, 3, 143])
def test_what_the_workers_said_is_not_said_again(code):
    assert torchrun.exit_code(failed(r0=code, r1=-15), {}) == (code, None)


def test_the_first_rank_to_fail_is_named():
    code, line = torchrun.exit_code(failed(r3=-9, r0=1, r1=-15), {})
    assert code == 1
    assert "rank 3" in line
    assert "SIGKILL" in line
    assert "the same command goes on" in line
    assert "exited 1" in torchrun.exit_code(failed(r1=1), {})[1]


@pytest.mark.parametrize(
    ("workers", "code", "said"),
    [
        ({}, 143, None),
        ({0: 143, 1: 143}, 143, None),
        ({0: 0, 1: 0}, 0, None),
        ({0: -15, 1: 143}, 143, None),
        ({0: 143, 1: 1}, 1, "rank 1 on .* asked to stop, exited 1"),
        ({4: -9, 5: 143}, 1, "rank 4 on .* asked to stop, was killed by SIGKILL"),
        ({0: 1, 1: 2}, 2, None),
    ],
)
def test_a_signal_to_the_launcher_ends_as_the_workers_did(workers, code, said):
    found, line = torchrun.exit_code(SimpleNamespace(sigval=signal.SIGTERM), workers)
    assert found == code
    assert (line is None) == (said is None)
    if said:
        assert re.search(said, line)


def test_only_our_own_launches_are_touched():
    assert torchrun.launched_command(["accelerate", "launch", "-m", "hyperofa.train", "c.yaml"]) == "hyperofa train"
    assert torchrun.launched_command(["accelerate", "launch", "-m", "hyperofa_eval", "run"]) == "hyperofa-eval"
    assert torchrun.launched_command(["accelerate", "launch", "-m", "other.train", "hyperofa.train"]) is None
    assert torchrun.launched_command(["/site-packages/hyperofa/train/__main__.py", "c.yaml"]) is None
    assert torchrun.launched_command(["accelerate", "launch", "x.py", "-m", "hyperofa.train"]) is None
    assert torchrun.launched_command(["accelerate", "launch", "--no-such-option", "-m", "hyperofa.train"]) is None


@pytest.mark.parametrize(
    "words",
    [
        ["accelerate", "launch", "--module", "hyperofa.train"],
        ["accelerate", "launch", "-m", "--num_processes", "2", "hyperofa.train"],
        ["accelerate", "launch", "--module", "--num-processes=2", "hyperofa.train"],
        ["/env/bin/accelerate-launch", "-m", "hyperofa.train"],
        ["/env/lib/accelerate/commands/launch.py", "-m", "hyperofa.train"],
        ["torchrun", "--nproc-per-node=2", "-m", "hyperofa.train"],
    ],
)
def test_our_launches_are_known_however_they_are_spelled(words):
    assert torchrun.launched_command([*words, "run.yaml"]) == "hyperofa train"


def test_launches_of_others_import_nothing():
    script = (
        "import sys; from hyperofa.train.engine import torchrun\n"
        "assert torchrun.launched_command(['torchrun', '--nproc-per-node', '2', 'x.py', 'run']) is None\n"
        "assert not {'torch', 'accelerate'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_torchrun_finds_the_plugin():
    names = {point.name: point.value for point in entry_points(group="torchrun.handlers")}
    assert names["hyperofa"] == "hyperofa.train.engine.torchrun:register"


def test_other_errors_keep_their_traceback():
    script = (
        "import sys; sys.argv = ['x', '-m', 'hyperofa.train']\n"
        "from hyperofa.train.engine.torchrun import register\n"
        "register()\n"
        "raise RuntimeError('a bug')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "a bug" in done.stderr


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        (["--num_processes", "7", "--num_machines", "2"], False),
        (["--num_processes", "8", "--num_machines", "2"], True),
        (["--config_file", "{file}"], True),
        (["--config_file", "{file}", "--num-machines", "3"], False),
        (["--num_processes=7", "--num_machines=2"], False),
        (["--num-processes=7", "--num_machines", "2"], False),
        (["--num_processes", "8", "--num-machines=2"], True),
        (["--config_file={file}", "--num_machines=3"], False),
        (["--config-file={file}", "--num-processes=15"], False),
        (["--num_processes", "7", "--num_processes=8", "--num_machines=2"], True),
        (["--config_file", "/nowhere.yaml"], True),
        ([], True),
    ],
)
def test_a_topology_that_does_not_divide_is_refused(tmp_path, words, fits):
    file = tmp_path / "launch.yaml"
    file.write_text("num_processes: 16\nnum_machines: 2\n")
    argv = ["accelerate", "launch", *(word.format(file=file) for word in words), "-m", "hyperofa.train", "run.yaml"]
    problem = torchrun.uneven_topology(argv)
    assert (problem is None) == fits
    if problem:
        assert "do not divide over" in problem


def test_the_file_of_accelerate_config_counts_too(tmp_path, monkeypatch):
    file = tmp_path / "default_config.yaml"
    file.write_text("num_processes: 7\nnum_machines: 2\n")
    monkeypatch.setattr("accelerate.commands.config.default_config_file", str(file))
    assert "7 processes" in torchrun.uneven_topology(["accelerate", "launch", "-m", "hyperofa.train", "run.yaml"])


def test_the_launch_itself_refuses(tmp_path):
    words = [
        "--use_deepspeed",
        "--num_processes",
        "3",
        "--num_machines",
        "2",
        "--deepspeed_multinode_launcher",
        "standard",
    ]
    command = [
        Path(sys.executable).with_name("accelerate"),
        "launch",
        *words,
        "--machine_rank",
        "1",
        "--main_process_ip",
        "::1",
    ]
    done = subprocess.run([*command, "-m", "hyperofa.train", "x.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "3 processes do not divide over 2 machines" in done.stderr
    assert "Traceback" not in done.stderr
