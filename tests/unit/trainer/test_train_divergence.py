"""Steps that are not finite are left out; a training that comes apart goes back and learns slower, or fails."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from interruptions import checkpoints, killed, learning_rates, manifest, poison, stages, stopped
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from workplaces import TRAINING, MakeWorkplace, Workplace, eps_rows, losses, trained

from finetune_api.exit_codes import ExitCode
from finetune_trainer import prepare_training
from finetune_trainer.failures import NonFiniteLoss
from finetune_trainer.train.completion_trainer import CompletionTrainer

pytestmark = pytest.mark.usefixtures("stop_request")

LONG = TRAINING | {"epochs": 6}
"""30 steps, a checkpoint at each fourth."""
EVERY = TRAINING | {"checkpoint_every_steps": 1}
RATE = float(TRAINING["learning_rate"])


def not_finite(loss: Any) -> Any:
    return loss * math.inf


def high(loss: Any) -> Any:
    return loss + 5.0


def at_full_rate(first: int, last: int = 1000) -> Callable[[CompletionTrainer], bool]:
    """In some steps, until the learning rate was lowered."""

    def when(trainer: CompletionTrainer) -> bool:
        return first <= trainer.state.global_step + 1 <= last and trainer.args.learning_rate == RATE

    return when


def lines(workplace: Workplace) -> list[dict[str, Any]]:
    text = (workplace.directory / "train" / "losses.jsonl").read_text()
    assert "NaN" not in text
    return [json.loads(line) for line in text.splitlines()]


# A step that is not finite


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_step_that_is_not_finite_is_left_out_and_counted(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    poison(monkeypatch, at_full_rate(3, 3), lambda loss: loss * value)
    summary = trained(workplace).training
    assert (summary.steps, summary.skipped_steps, summary.rollbacks) == (10, 1, 0)
    assert lines(workplace)[2] == {"step": 3, "skipped": True}
    assert [line["step"] for line in lines(workplace)] == list(range(1, 11))
    assert workplace.problems == ["step 3 was left out: its loss or a gradient is not finite"]
    told = [event for event in workplace.events if event["event"] == "progress" and event["stage"] == "training"]
    assert [event["step"] for event in told if "loss" not in event] == [0, 3]


def test_weights_and_moments_stay_as_they_are_in_a_step_that_is_left_out(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter after two steps of which the second was left out is that after the first."""
    poison(monkeypatch, at_full_rate(2, 2), not_finite)
    prepare_training.run(workplace.prepare_order(training=EVERY), workplace.reporter)
    killed(workplace, at=3, training=EVERY)
    folder = workplace.directory / "checkpoints"
    first, second = (load_file(folder / f"checkpoint-{number}" / "adapter_model.safetensors") for number in (1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    states = [torch.load(folder / f"checkpoint-{number}" / "optimizer.pt")["state"] for number in (1, 2)]
    assert all(torch.equal(states[0][key]["exp_avg"], states[1][key]["exp_avg"]) for key in states[0])
    assert learning_rates(workplace, 2).keys() == {1, 2}


def test_one_bad_micro_batch_spoils_its_step_only(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def second_of_step_4(trainer: CompletionTrainer) -> bool:
        seen.append(trainer.state.global_step)
        return trainer.state.global_step == 3 and seen.count(3) == 2

    poison(monkeypatch, second_of_step_4, not_finite)
    summary = trained(workplace, training=TRAINING | {"micro_batch_size": 2}).training
    assert [line["step"] for line in lines(workplace) if "skipped" in line] == [4]
    assert summary.skipped_steps == 1


def test_a_poisoned_example_costs_one_step_an_epoch(workplace: Workplace, own_model: Any) -> None:
    """One word of one example, for which the model has no finite weights."""
    rows = eps_rows(40)
    rows[7]["input"] += " ~"
    workplace.write_rows(rows)
    (token,) = Tokenizer.from_file(str(own_model / "tokenizer.json")).encode("~").ids
    weights = load_file(own_model / "model.safetensors")
    weights["model.embed_tokens.weight"][token] = math.nan
    save_file(weights, own_model / "model.safetensors", metadata={"format": "pt"})
    summary = trained(workplace, validation_fraction="0").training
    assert (summary.steps, summary.skipped_steps) == (10, 2)
    adapter = load_file(workplace.directory / "train" / "adapter" / "adapter_model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in adapter.values())


# A training that comes apart


@pytest.mark.parametrize(("spoil", "first"), [(not_finite, 6), (high, 23)])
def test_three_bad_steps_roll_back_to_the_last_good_checkpoint_at_half_the_rate(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Any], Any], first: int
) -> None:
    """After 20 losses, which tell how far they usually scatter."""
    poison(monkeypatch, at_full_rate(first), spoil)
    summary = trained(workplace, training=LONG).training
    target = (first - 1) // 4 * 4
    assert (summary.steps, summary.rollbacks, summary.learning_rate_scale) == (30, 1, "0.5")
    assert summary.skipped_steps == 0
    assert f"training on from step {target}" in stages(workplace)
    assert f"going back to step {target} with half the learning rate, {RATE / 2:g}" in workplace.problems[-1]
    assert [line["step"] for line in lines(workplace)] == list(range(1, 31))


def mostly(trainer: CompletionTrainer) -> bool:
    """Of three steps one is good: never are three in a row bad."""
    return (trainer.state.global_step + 1) % 3 != 0


def test_a_training_that_leaves_most_steps_out_goes_back(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """In step 20, the first at which that is known. With what was left out before 16, it would go back once more."""
    full_rate = at_full_rate(1)
    poison(monkeypatch, lambda trainer: full_rate(trainer) and mostly(trainer), not_finite)
    summary = trained(workplace, training=LONG).training
    assert (summary.steps, summary.rollbacks, summary.skipped_steps) == (30, 1, 11)
    assert "loss or gradient was not finite in 14 of the last 20 steps; going back to step 16" in workplace.problems[-1]


def test_a_short_training_that_left_most_steps_out_leaves_no_adapter(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, mostly, not_finite)
    with pytest.raises(NonFiniteLoss, match="7 of the 10 steps had no finite loss"):
        trained(workplace)
    assert not (workplace.directory / "train").exists()


def test_a_checkpoint_of_the_bad_steps_is_not_gone_back_to(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps 7, 8 and 9 are bad: the checkpoint of 8 holds what came apart, though all its weights are finite."""
    poison(monkeypatch, at_full_rate(7), not_finite)
    trained(workplace)
    assert "training on from step 4" in stages(workplace)


def test_before_the_first_checkpoint_it_goes_back_to_the_start(
    make_workplace: MakeWorkplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned, slow = make_workplace("poisoned"), make_workplace("slow")
    trained(slow, training=TRAINING | {"learning_rate": str(RATE / 2)}, lora={"dropout": "0.1"})
    poison(monkeypatch, at_full_rate(1), not_finite)
    summary = trained(poisoned, lora={"dropout": "0.1"}).training
    assert summary.rollbacks == 1
    assert losses(poisoned) == pytest.approx(losses(slow), abs=1e-6)


def test_a_kill_after_a_rollback_does_not_bring_the_old_rate_back(
    make_workplace: MakeWorkplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before a new checkpoint, and once more after one."""
    plain, poisoned = make_workplace("plain"), make_workplace("poisoned")
    for place in (plain, poisoned):
        prepare_training.run(place.prepare_order(training=LONG), place.reporter)
    stopped(plain, at=25, training=LONG)
    poison(monkeypatch, at_full_rate(10), not_finite)
    killed(poisoned, "training on from step 8", 10, training=LONG)
    assert checkpoints(poisoned)[-1] == 8
    assert (manifest(poisoned, 8)["rollbacks"], manifest(poisoned, 8)["lrScale"]) == (1, 0.5)
    killed(poisoned, "training on from step 8", 14, training=LONG)
    stopped(poisoned, "training on from step 12", 25, training=LONG)
    assert (manifest(poisoned, 26)["rollbacks"], manifest(poisoned, 26)["lrScale"]) == (1, 0.5)
    usual, halved = learning_rates(plain, 26), learning_rates(poisoned, 26)
    assert halved.keys() == usual.keys() == set(range(1, 27))
    for number, rate in halved.items():
        assert rate == pytest.approx(usual[number] / (1 if number <= 8 else 2), rel=1e-9), number


def test_an_older_checkpoint_does_not_bring_the_old_rate_back(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a rollback, with the checkpoint that it went back to torn."""
    prepare_training.run(workplace.prepare_order(training=LONG), workplace.reporter)
    poison(monkeypatch, at_full_rate(10), not_finite)
    killed(workplace, "training on from step 8", 10, training=LONG)
    assert checkpoints(workplace) == [4, 8]
    (workplace.directory / "checkpoints" / "checkpoint-8" / "adapter_model.safetensors").write_bytes(b"torn")
    stopped(workplace, "training on from step 4", 12, training=LONG)
    assert (manifest(workplace, 13)["rollbacks"], manifest(workplace, 13)["lrScale"]) == (1, 0.5)
    rates = learning_rates(workplace, 13)
    assert rates[5] < rates[4] * 0.6


def test_the_examples_go_on_from_the_checkpoints_step(
    make_workplace: MakeWorkplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: dict[int, list[int]] = {}
    original = CompletionTrainer.training_step

    def training_step(trainer: CompletionTrainer, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        taken[trainer.state.global_step + 1] = inputs["input_ids"].flatten().tolist()
        return original(trainer, model, inputs, *args, **kwargs)

    monkeypatch.setattr(CompletionTrainer, "training_step", training_step)
    trained(make_workplace("plain"))
    expected, taken = taken, {}
    poison(monkeypatch, at_full_rate(6, 8), not_finite)
    trained(make_workplace("poisoned"))
    assert taken == expected


def test_what_does_not_get_better_fails_and_leaves_no_adapter(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, lambda trainer: trainer.state.global_step >= 5, not_finite)
    with pytest.raises(NonFiniteLoss, match=r"after 2 rollbacks, at a learning rate of 0\.0075: lower spec") as caught:
        trained(workplace)
    assert caught.value.exit_code is ExitCode.NON_FINITE_LOSS
    assert not (workplace.directory / "train").exists()
    assert checkpoints(workplace)[-1] == 4


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_adapter_with_a_weight_that_is_not_finite_is_not_kept(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """The last step's loss was finite; what its update made of one weight, no later loss tells."""
    original = CompletionTrainer.log

    def log(trainer: CompletionTrainer, *args: Any, **kwargs: Any) -> None:
        original(trainer, *args, **kwargs)
        if trainer.state.global_step == trainer.state.max_steps:
            weight = next(weight for weight in trainer.model.parameters() if weight.requires_grad)
            weight.data[0, 0] = value

    monkeypatch.setattr(CompletionTrainer, "log", log)
    with pytest.raises(NonFiniteLoss, match=r"the adapter's weight .*lora_A.* is not finite: lower spec") as caught:
        trained(workplace, export={"merged": True})
    assert caught.value.exit_code is ExitCode.NON_FINITE_LOSS
    assert not (workplace.directory / "train").exists()


def test_a_training_of_nothing_but_bad_steps_leaves_no_adapter(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps are too few for a rollback."""
    poison(monkeypatch, lambda _: True, not_finite)
    with pytest.raises(NonFiniteLoss, match="2 of the 2 steps had no finite loss"):
        trained(workplace, training=TRAINING | {"epochs": 1, "effective_batch_size": 32})
    assert not (workplace.directory / "train").exists()
