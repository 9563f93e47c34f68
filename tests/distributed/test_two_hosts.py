"""Two network namespaces as two machines with a shared folder: train, lose one of them, start both again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.slow
PORT = "29566"


class Host(NamedTuple):
    """A namespace, its end of the cable, and its address."""

    name: str
    cable: str
    address: str


def ip(*words: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["ip", *words], check=check, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    number = os.getpid() % 200
    pair = [Host(f"hyperofa-{side}-{number}", f"hofa{side}{number}", f"10.77.{number}.{side}") for side in (1, 2)]
    try:
        for host in pair:
            ip("netns", "add", host.name)
        ip("link", "add", pair[0].cable, "type", "veth", "peer", "name", pair[1].cable)
        for host in pair:
            ip("link", "set", host.cable, "netns", host.name)
            ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", host.cable)
            ip("-n", host.name, "link", "set", host.cable, "up")
            ip("-n", host.name, "link", "set", "lo", "up")
    except (OSError, subprocess.CalledProcessError) as error:
        for host in pair:
            ip("netns", "del", host.name, check=False)
        pytest.skip(f"network namespaces are not permitted here: {error}")
    yield pair
    for host in pair:
        ip("netns", "del", host.name, check=False)


def start_both(trainer, hosts: list[Host], **settings):
    """One ``accelerate launch`` in each namespace, each with one process."""
    launches = []
    for rank, host in enumerate(hosts):
        words = ["--num_machines", "2", "--machine_rank", str(rank), "--main_process_ip", hosts[0].address]
        launches.append(
            trainer.start(
                "run",
                prefix=("ip", "netns", "exec", host.name),
                port=PORT,
                arguments=tuple(words),
                environment={"GLOO_SOCKET_IFNAME": host.cable},
                **settings,
            )
        )
    return launches


def test_a_lost_host_comes_back(trainer, hosts, straight):
    runs = trainer(zero_stage=2, save_every=5, timeout=10)
    first, second = start_both(runs, hosts)
    first.wait_for_step(12)
    ip("-n", hosts[1].name, "link", "set", hosts[1].cable, "down")
    for pid in [*second.workers(), second.process.pid]:
        os.kill(pid, signal.SIGKILL)
    second.process.communicate()
    assert first.wait(90) == 1
    assert "rank 1 on" in first.output
    saved = first.checkpoints()[0]
    assert saved >= 10

    ip("-n", hosts[1].name, "link", "set", hosts[1].cable, "up")
    first, second = start_both(runs, hosts)
    assert first.wait() == 0, first.output
    assert second.wait() == 0, second.output
    assert f"resuming after step {saved}" in first.output
    assert first.losses() == straight("encoder", 2).losses()
    assert first.same_weights(straight("encoder", 2))


def test_a_folder_that_is_not_shared_is_found_before_the_first_step(trainer, hosts, tmp_path):
    runs = trainer(zero_stage=2)
    mine: Path = tmp_path / "local"
    launches = []
    for rank, host in enumerate(hosts):
        words = ["--num_machines", "2", "--machine_rank", str(rank), "--main_process_ip", hosts[0].address]
        launches.append(
            runs.start(
                f"run{rank}",
                prefix=("ip", "netns", "exec", host.name),
                port=PORT,
                arguments=tuple(words),
                environment={"GLOO_SOCKET_IFNAME": host.cable},
                run=mine / str(rank),
            )
        )
    codes = [launch.wait() for launch in launches]
    assert codes[0] == 2, launches[0].output
    assert "the run directory is not shared" in " ".join(launches[0].output.split())
    assert not list(mine.rglob("step_*"))
