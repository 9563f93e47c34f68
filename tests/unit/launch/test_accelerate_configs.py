"""The accelerate configs in ``launch/``, read by accelerate itself."""

from __future__ import annotations

from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[3] / "launch"
TOPOLOGIES = {"cpu_pair": (1, 2), "one_gpu": (1, 1), "one_node_8gpu": (1, 8), "multi_node": (2, 16)}


def test_there_is_one_for_each_topology():
    assert {path.stem for path in LAUNCH.glob("*.yaml")} == set(TOPOLOGIES)


@pytest.mark.parametrize("name", sorted(TOPOLOGIES))
def test_accelerate_reads_it_as_we_mean_it(name):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(LAUNCH / f"{name}.yaml"))
    assert (config.num_machines, config.num_processes) == TOPOLOGIES[name]
    assert config.distributed_type == "DEEPSPEED"
    assert config.deepspeed_config == {"deepspeed_multinode_launcher": "standard"}
    assert config.use_cpu is False  # else accelerate sets up DDP without a word
    assert config.mixed_precision == "no"
    assert config.main_process_port == (None if name == "multi_node" else 0)
