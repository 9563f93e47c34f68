"""One rank of a tiny run, started by test_plan_memory.py: bytes of its tensors by part, as JSON, on standard output.

accelerate launch … measure_memory.py MODEL CORPUS RUN STAGE PRECISION
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from hyperofa.corpus.batches import Batches
from hyperofa.corpus.masking import Masking
from hyperofa.corpus.packed import PackedCorpus
from hyperofa.model import load_for_training, parameter_groups
from hyperofa.train.config import TrainConfig
from hyperofa.train.engine.engine import Engine
from hyperofa.train.engine.partition import stretches


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested lists and dictionaries."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


def storages(tensors: Iterable[torch.Tensor | None]) -> dict[int, int]:
    """Bytes by address of the memory behind tensors, each once."""
    found = [tensor.untyped_storage() for tensor in tensors if tensor is not None and tensor.numel() > 1]
    return {storage.data_ptr(): storage.nbytes() for storage in found if storage.nbytes()}


def main() -> None:
    model_path, corpus, run, stage, precision = sys.argv[1:]
    config = TrainConfig(
        model=model_path,
        corpus=Path(corpus),
        run=Path(run),
        steps=2,
        global_batch_size=8,
        micro_batch_size=4,
        zero_stage=int(stage),  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
    )
    engine = Engine(config)
    model = load_for_training(config.model, dropout=0.0)
    count = sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters())  # ZeRO-3 has them shared out already
    engine.prepare(model, parameter_groups(model, weight_decay=0.01))
    engine.train_mode()
    batches = Batches(PackedCorpus.open(config.corpus), global_batch=8, seed=0, masking=Masking(rate=0.15))
    optimizer = engine._ds.optimizer
    sizes: dict[str, int] = {}
    for step in range(2):
        for batch in batches.for_rank(step, engine.rank, engine.world_size, 4):
            output = engine.forward(batch.inputs)
            engine.backward(output.loss_sum, 64)
            # With the first update AdamW has made its moments; the second backward pass has all gradients there are.
            gradients = [*(p.grad for p in model.parameters()), *tensors_in(optimizer.averaged_gradients)]
            gradients.append(getattr(optimizer, "grad_partitions_flat_buffer", None))
            if step == 0:
                engine.end_micro_batch()
    parameters = list(model.parameters())
    weights = storages([*parameters, *(getattr(p, "ds_tensor", None) for p in parameters)])
    states = storages(
        [
            *(flat for flat, _ in stretches(optimizer, engine.rank)),
            *tensors_in([dict(s) for s in engine._ds.basic_optimizer.state.values()]),
        ]
    )
    sizes = {
        "parameters": count,
        "weights": sum(weights.values()),
        "optimizer": sum(size for address, size in states.items() if address not in weights),
        "gradients": sum(
            size for address, size in storages(gradients).items() if address not in weights and address not in states
        ),
    }
    if engine.is_main:
        config.run.mkdir()
        (config.run / "sizes.json").write_text(json.dumps(sizes))
    engine.end_micro_batch()
    engine.close()


if __name__ == "__main__":
    main()
