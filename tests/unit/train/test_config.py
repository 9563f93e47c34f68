from __future__ import annotations

import pytest

from hyperofa.errors import InputError
from hyperofa.train.config import TrainConfig, changed_settings
from hyperofa_eval.settings.config import build_config, load_config, save_config, to_plain

VALID = ["model=m", "corpus=c", "run=r", "steps=10", "global_batch_size=32"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("learning_rat=1", "did you mean 'learning_rate'"),
        ("steps=0", "steps: 0 is not a number of 1 or more"),
        ("keep=1", "keep: 1 is not a number of 2 or more"),
        ("micro_batch_size=5", "no multiple of micro_batch_size 5"),
        ("schedule=stairs", "schedule"),
        ("precision=fp8", "precision"),
        ("zero_stage=4", "zero_stage"),
        ("warmup_steps=11", "longer than the run"),
        ("mask_rate=1.5", "mask_rate"),
        ("phase_steps=2", "needs a phase other than 'all'"),
        ("eval_every=5", "evaluation.data"),
        ("learning_rate=.nan", "learning_rate: nan is not in (0, 1]"),
        ("learning_rate=1.0e+38", "learning_rate: 1e+38 is not in (0, 1]"),
        ("evaluation.dat=x", "did you mean 'evaluation.data'"),
        ("learning_rates={embeddings: 0, primitives: 0, head: 0, body: 0}", "nothing would learn"),
        ("learning_rates={old_rows: 0}", "write phase: all_but_old_rows"),
        ("learning_rates={old_rows: 0.1, embeddings: 0}", "leave old_rows out"),
        ("learning_rates={old_rows: 0.2, embeddings: 0.1}", "above the rate of the embeddings"),
        ("betas=[0.9, 1.0]", "betas: 1.0 is not in [0, 1)"),
        ("betas=[-0.1, 0.9]", "betas: -0.1 is not in [0, 1)"),
        ("betas=[.nan, 0.9]", "betas: nan is not in [0, 1)"),
        ("workers=-1", "workers: -1 is not a number of 0 or more"),
        ("eval_every=-1", "eval_every: -1 is not a number of 0 or more"),
        ("timeout=0", "timeout: 0.0 is not in (0, 1,000,000]"),
        ("timeout=.inf", "timeout: inf is not in (0, 1,000,000]"),
        ("timeout=1.0e+18", "timeout: 1e+18 is not in (0, 1,000,000]"),
        ("epsilon=.inf", "epsilon: inf is not a number above 0"),
        ("clip=.inf", "clip: inf is not a number of 0 or more"),
        ("weight_decay=.nan", "weight_decay: nan is not a number of 0 or more"),
        ("trackers=[tensorboard, nonsense]", "unknown nonsense"),
        ("trackers=[all]", "unknown all"),
        ("stop_at=0", "stop_at: 0 is not a number of 1 or more"),
        ("stop_at=-5", "stop_at: -5 is not a number of 1 or more"),
        ("minimum_learning_rate=1.0e-3", "minimum_learning_rate: 0.001 is above learning_rate"),
        ("phase_steps=5", "phase_steps: 5 needs a phase"),
        ("schedule=wsd", "schedule: 'wsd' needs decay_steps"),
        ("impl=magic", "impl"),
        ("objective=sentences", "objective"),
        ("adapter.rank=-1", "adapter.rank: -1 is not a number of 0 or more"),
        ("adapter={rank: 4, alpha: 0}", "adapter.alpha: 0.0 is not a number above 0"),
        ("adapter.rnk=4", "did you mean 'adapter.rank'"),
        ("adapter.targets=[q_proj]", "adapter.targets: needs rank"),
        ("chunk_bytes=0", "chunk_bytes: 0 is not a number of 1 or more"),
    ],
)
def test_refuses_in_one_line(word, said):
    with pytest.raises(InputError) as caught:
        load_config(TrainConfig, None, [*VALID, word])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "word",
    [
        "whole_words=true",
        "separate_documents=true",
        "tied_gradient=input",
        "head_bias=corpus",
        "phase=head phase_steps=2",
    ],
)
def test_sentences_refuse_settings_of_a_loss_over_tokens(word):
    with pytest.raises(InputError, match=f"{word.partition('=')[0]}: .* is for a loss over tokens"):
        load_config(TrainConfig, None, [*VALID, "objective=sentence", *word.split()])


def rates(**settings):
    values = {**dict(word.split("=") for word in VALID[:3]), "steps": 100, "global_batch_size": 8, "learning_rate": 1.0}
    config = build_config(TrainConfig, {**values, **settings})
    return [config.rate(step) for step in range(101)]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "wsd", "constant"])
def test_warms_up_along_a_line_to_the_peak(schedule):
    found = rates(schedule=schedule, warmup_steps=9, decay_steps=20 if schedule == "wsd" else 0)
    assert found[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert max(found) == 1.0
    assert found[0] > 0


def test_linear_and_cosine_fall_to_the_minimum_by_the_last_step():
    for schedule in ("linear", "cosine"):
        found = rates(schedule=schedule, minimum_learning_rate=0.1)
        assert found[0] == 1.0
        assert found[50] == pytest.approx(0.55)
        assert found[100] == pytest.approx(0.1)
        assert found == sorted(found, reverse=True)
    assert rates(schedule="cosine")[25] == pytest.approx(0.5 + 0.5 * 2**-0.5)


def test_wsd_is_flat_and_falls_at_the_end():
    found = rates(schedule="wsd", warmup_steps=10, decay_steps=20)
    assert set(found[10:81]) == {1.0}
    assert found[90] == pytest.approx(0.5)
    assert found[100] == 0.0


def test_constant_stays():
    assert set(rates(schedule="constant")) == {1.0}


def test_accumulation_follows_from_the_global_batch():
    config = load_config(TrainConfig, None, [*VALID, "micro_batch_size=4"])
    assert [config.accumulation(world_size) for world_size in (1, 2, 4, 8)] == [8, 4, 2, 1]
    with pytest.raises(InputError, match="x 3 processes"):
        config.accumulation(3)


def test_the_saved_config_reads_back(tmp_path):
    config = load_config(TrainConfig, None, [*VALID, "evaluation.tasks=[sr-t]", "betas=[0.8, 0.95]"])
    save_config(config, tmp_path / "config.yaml")
    assert load_config(TrainConfig, tmp_path / "config.yaml") == config


def test_phase_lasts_for_its_steps():
    config = load_config(TrainConfig, None, [*VALID, "phase=new_rows", "phase_steps=3"])
    assert [config.phase_of(step) for step in range(5)] == ["new_rows"] * 3 + ["all"] * 2


def test_rows_that_a_phase_holds_throughout_have_no_rate():
    with pytest.raises(InputError, match="old_rows never learn in phase all_but_old_rows"):
        load_config(TrainConfig, None, [*VALID, "learning_rates={old_rows: 1.0e-6}", "phase=all_but_old_rows"])


def test_phase_without_steps_lasts_for_the_whole_run():
    config = load_config(TrainConfig, None, [*VALID, "phase=all_but_old_rows"])
    assert {config.phase_of(step) for step in range(config.steps)} == {"all_but_old_rows"}


def test_names_what_changed_but_not_what_may_change():
    old = load_config(TrainConfig, None, VALID)
    new = load_config(TrainConfig, None, [*VALID[:-1], "global_batch_size=64", "zero_stage=3", "seed=1", "keep=5"])
    assert changed_settings(to_plain(old), to_plain(new)) == ["global_batch_size", "seed"]


def test_parts_have_rates_of_their_own_under_one_schedule():
    config = build_config(
        TrainConfig,
        {
            "model": "m",
            "corpus": "c",
            "run": "r",
            "steps": 100,
            "global_batch_size": 8,
            "learning_rate": 1e-3,
            "warmup_steps": 10,
            "learning_rates": {"embeddings": 1e-2, "body": 0},
        },
    )
    for step in (0, 5, 9, 50, 99):
        assert config.part_rate("embeddings", step) == pytest.approx(10 * config.rate(step))
        assert config.part_rate("head", step) == config.rate(step)
        assert config.part_rate("body", step) == 0
    assert config.frozen == ("body",)


@pytest.mark.parametrize(
    ("rates", "message"),
    [({"body": -1.0}, r"learning_rates: -1.0 is not in \[0, 1\]"), ({"tail": 1.0}, "learning_rates.tail")],
)
def test_wrong_part_rates_are_refused(rates, message):
    with pytest.raises(InputError, match=message):
        build_config(
            TrainConfig,
            {"model": "m", "corpus": "c", "run": "r", "steps": 1, "global_batch_size": 8, "learning_rates": rates},
        )


def test_adapters_cannot_stand_still():
    with pytest.raises(InputError, match=r"adapter\.rank: learning_rates\.body is 0"):
        load_config(TrainConfig, None, [*VALID, "adapter.rank=4", "learning_rates={body: 0}"])


def test_adapters_are_pinned_and_a_run_older_than_them_had_none():
    plain = to_plain(load_config(TrainConfig, None, VALID))
    adapted = to_plain(load_config(TrainConfig, None, [*VALID, "adapter.rank=4"]))
    older = {name: value for name, value in plain.items() if name != "adapter"}
    assert changed_settings(plain, adapted) == ["adapter"]
    assert changed_settings(older, plain) == []
    assert changed_settings(older, adapted) == ["adapter"]
    assert changed_settings({**older, "steps": 9}, plain) == ["steps"]
