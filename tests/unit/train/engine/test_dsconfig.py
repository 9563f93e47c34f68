from __future__ import annotations

import json

import pytest

from hyperofa.base.resources import resource
from hyperofa.errors import InputError
from hyperofa.train.engine.dsconfig import deepspeed_config

SHIPPED = ("zero1", "zero1_offload", "zero2", "zero2_offload", "zero3", "zero3_offload")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_are_filled_in(settings, name):
    config = settings(ds_config=resource(f"ds_configs/{name}.json"), precision="bf16", micro_batch_size=4, clip=0.5)
    values = deepspeed_config(config, 2, cuda=False)
    assert "auto" not in json.dumps(values)
    assert values["train_micro_batch_size_per_gpu"] == 4
    assert values["gradient_accumulation_steps"] == 4
    assert values["gradient_clipping"] == 0.5
    assert (values["bf16"]["enabled"], values["fp16"]["enabled"]) == (True, False)
    assert values["zero_force_ds_cpu_optimizer"] is False
    assert values["zero_optimization"]["stage"] == int(name[4])
    assert ("offload_optimizer" in values["zero_optimization"]) == name.endswith("offload")


def test_all_that_is_shipped_is_tested():
    assert {path.stem for path in resource("ds_configs").glob("*.json")} == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_16_bit_gradients_are_added_up_in_float32_where_deepspeed_can(settings, name):
    def data_types(**changes):
        config = settings(ds_config=resource(f"ds_configs/{name}.json"), **changes)
        return deepspeed_config(config, 1, cuda=False).get("data_types")

    assert data_types(precision="bf16") == (None if name == "zero1" else {"grad_accum_dtype": "fp32"})
    assert data_types(precision="bf16", micro_batch_size=32) is None
    assert data_types(precision="fp32") is None


@pytest.mark.parametrize("nothing", [None, {"device": "none"}, {}, "none"])
def test_an_offload_of_nothing_is_none(settings, tmp_path, nothing):
    path = tmp_path / "ds.json"
    path.write_text(
        json.dumps({"zero_optimization": {"stage": 3, "offload_optimizer": nothing, "offload_param": nothing}})
    )
    values = deepspeed_config(settings(ds_config=path), 1, cuda=False)
    assert not {"offload_optimizer", "offload_param"} & set(values["zero_optimization"])
    assert values["zero_allow_untested_optimizer"] is True


def test_the_stage_chooses_the_file(settings):
    for stage in (1, 2, 3):
        assert deepspeed_config(settings(zero_stage=stage), 1, cuda=True)["zero_optimization"]["stage"] == stage


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gradient_clipping": 3.0}, "gradient_clipping is 3.0, but the run's config makes it 1.0"),
        ({"optimizer": {"type": "Adam"}}, "'optimizer' must not be set here"),
        ({"train_batch_size": 32}, "'train_batch_size' must not be set here"),
        (
            {"zero_optimization": {"stage": 2, "compute_grad_norm": False}},
            "zero_optimization.compute_grad_norm is False",
        ),
        ({"bf16": {"enabled": "auto", "check_grad_overflow": False}}, "bf16.check_grad_overflow is False"),
        ({"zero_optimization": "yes"}, "zero_optimization section"),
        ({"zero_optimization": {}}, "zero_optimization.stage is missing; write 1, 2 or 3"),
        ({"zero_optimization": {"stage": None}}, "zero_optimization.stage is missing"),
        ({"zero_optimization": {"stage": 0}}, "zero_optimization.stage is 0"),
        ({"zero_optimization": {"stage": True}}, "zero_optimization.stage is True"),
        ({"zero_optimization": {"stage": "2"}}, "zero_optimization.stage is '2'"),
        ({"zero_optimization": {"stage": [2]}}, "zero_optimization.stage is [2]"),
        ({"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "nvme"}}}, "goes to 'nvme'"),
        ({"zero_optimization": {"stage": 3, "offload_optimizer": [1]}}, "goes to [1]"),
        ({"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}}, "offload_param needs stage 3"),
        ({"zero_optimization": {"stage": 1}, "data_types": {"grad_accum_dtype": "fp32"}}, "cannot be set with stage 1"),
        ({"bf16": None}, "bf16 is None, not a group of settings"),
        ({"zero_optimization": {"stage": 2, "reduce_bucket_size": "auto"}}, "zero_optimization.reduce_bucket_size"),
    ],
)
def test_refuses_a_config_that_contradicts_the_run(settings, tmp_path, changes, said):
    path = tmp_path / "ds.json"
    path.write_text(json.dumps({**json.loads(resource("ds_configs/zero2.json").read_text()), **changes}))
    with pytest.raises(InputError) as caught:
        deepspeed_config(settings(ds_config=path), 1, cuda=False)
    assert said in str(caught.value)
