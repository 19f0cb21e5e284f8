"""Several processes train together: they learn what one learns, and stop, pause, go back and start again together."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import team_faults
from interruptions import checkpoints, checkpoints_folder, manifest, stages
from teams import Ended, Fault, nothing, prepared, result_in, train_as_team
from workplaces import TRAINING, MakeWorkplace, Workplace, eps_rows, losses, prepared_with, trained

from finetune_api.exit_codes import ExitCode
from finetune_api.guard import Guard, GuardAction
from finetune_api.quantization import Method, Quantization, Sharding
from finetune_api.results import TrainResult
from finetune_trainer.train import step
from finetune_trainer.train.completion_trainer import CompletionTrainer
from finetune_trainer.train.last_words import decisive

ROWS = 41
"""Four are held out; of an epoch's 37 the last step has five, which two processes cannot share evenly."""
EXACT: dict[str, Any] = {
    "training": TRAINING | {"precision": "float32", "micro_batch_size": 2},
    "lora": {"dropout": "0"},
}
STEPS = 10
PACKED = EXACT["training"] | {"sequence_length": 256, "packing": True, "micro_batch_size": 1}
NF4 = {"method": Method.QLORA, "quantization": Quantization.NF4}


@pytest.fixture(scope="module")
def of_one(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Callable[[Quantization], Workplace]:
    """A training in one process, done once for each form of the base model."""

    @cache
    def train(quantization: Quantization) -> Workplace:
        workplace = Workplace(tmp_path_factory.mktemp("one"), tiny_model)
        workplace.write_rows(eps_rows(ROWS))
        trained(workplace, **EXACT, **(NF4 if quantization is Quantization.NF4 else {}))
        return workplace

    return train


@pytest.fixture
def workplace(make_workplace: MakeWorkplace) -> Workplace:
    place = make_workplace("several")
    place.write_rows(eps_rows(ROWS))
    return place


def learnt_together(
    workplace: Workplace, folder: Path, fault: Fault = nothing, order: dict[str, Any] = EXACT
) -> TrainResult:
    """Goes on to the end."""
    ended = train_as_team(workplace, folder, fault, **order)
    assert ended.exit_codes == [0, 0]
    result = ended.words[0].result
    assert isinstance(result, TrainResult)
    return result


@pytest.mark.parametrize("sharding", [Sharding.DDP, Sharding.FSDP])
@pytest.mark.parametrize(("quantization", "tolerance"), [(Quantization.NONE, 1e-5), (Quantization.NF4, 1e-4)])
def test_two_processes_learn_what_one_learns(
    workplace: Workplace,
    tmp_path: Path,
    of_one: Callable[[Quantization], Workplace],
    sharding: Sharding,
    quantization: Quantization,
    tolerance: float,
) -> None:
    prepared(workplace, {"sharding": sharding}, **EXACT, **(NF4 if quantization is Quantization.NF4 else {}))
    result = learnt_together(workplace, tmp_path / "words")
    alone = of_one(quantization)
    assert losses(workplace) == pytest.approx(losses(alone), abs=tolerance)
    assert float(result.training.validation_loss or "nan") == pytest.approx(validation_loss(alone), abs=2e-4)


@pytest.mark.parametrize("sharding", [Sharding.DDP, Sharding.FSDP])
def test_two_processes_learn_with_the_loss_of_a_gpu_what_one_learns(
    workplace: Workplace, tmp_path: Path, of_one: Callable[[Quantization], Workplace], sharding: Sharding
) -> None:
    """With two GPUs trl's own loss meets our sharing of rows, and weights that are wrapped or in parts."""
    prepared(workplace, {"sharding": sharding}, **EXACT)
    learnt_together(workplace, tmp_path / "words", team_faults.takes_the_loss_as_on_a_gpu)
    assert losses(workplace) == pytest.approx(losses(of_one(Quantization.NONE)), abs=1e-5)


@pytest.mark.parametrize(
    "order", [{}, {"packing": True, "sequence_length": 256, "micro_batch_size": 1}], ids=["rows", "packed"]
)
def test_one_process_learns_the_same_with_the_loss_of_a_gpu(
    make_workplace: MakeWorkplace, monkeypatch: pytest.MonkeyPatch, order: dict[str, Any]
) -> None:
    changes = EXACT | {"training": EXACT["training"] | order}
    ours, of_trl = make_workplace("ours"), make_workplace("trl")
    trained(ours, **changes)
    monkeypatch.setattr(CompletionTrainer, "_is_on_cpu", False)
    trained(of_trl, **changes)
    assert losses(of_trl) == pytest.approx(losses(ours), rel=1e-5)
    assert losses(of_trl) != losses(ours), "they are taken in two ways, which round differently"


def test_a_training_of_two_that_was_stopped_draws_the_same_dropout_again(
    make_workplace: MakeWorkplace, tmp_path: Path
) -> None:
    """Each process draws its own: both random states come back with the checkpoint."""
    order = EXACT | {"lora": {"dropout": "0.1"}}
    whole, interrupted = make_workplace("whole"), make_workplace("interrupted")
    for place in (whole, interrupted):
        place.write_rows(eps_rows(ROWS))
        prepared(place, **order)
    learnt_together(whole, tmp_path / "words", order=order)
    ended = train_as_team(interrupted, tmp_path / "last words", team_faults.is_told_to_stop, **order)
    assert ended.exit_codes == [ExitCode.STOPPED, ExitCode.STOPPED]
    learnt_together(interrupted, tmp_path / "next", order=order)
    assert losses(interrupted) == pytest.approx(losses(whole), abs=1e-6)


def test_a_model_that_is_kept_in_parts_is_merged_whole(workplace: Workplace, tmp_path: Path) -> None:
    prepared(workplace, {"sharding": Sharding.FSDP}, **EXACT)
    ended = train_as_team(workplace, tmp_path / "words", export={"merged": True}, **EXACT)
    assert ended.exit_codes == [0, 0]
    result = ended.words[0].result
    assert isinstance(result, TrainResult)
    assert result.merged_path == "train/merged"
    assert (workplace.directory / "train" / "merged" / "model.safetensors").is_file()


def test_weights_of_4_bits_in_parts_learn_the_same_when_activations_are_computed_twice(
    workplace: Workplace, tmp_path: Path, of_one: Callable[[Quantization], Workplace]
) -> None:
    again = EXACT | {"training": EXACT["training"] | {"activation_checkpointing": True}}
    prepared(workplace, {"sharding": Sharding.FSDP}, **again, **NF4)
    learnt_together(workplace, tmp_path / "words", order=again)
    assert losses(workplace) == pytest.approx(losses(of_one(Quantization.NF4)), abs=1e-4)


def test_two_processes_learn_from_packed_rows_that_they_cannot_share_evenly(
    make_workplace: MakeWorkplace, tmp_path: Path
) -> None:
    order = EXACT | {"training": PACKED, "validation_fraction": "0"}
    plan = {"packing": True, "rows_per_step": 2, "micro_batch_size": 1, "gradient_accumulation": 2}
    alone, together = make_workplace("alone"), make_workplace("together")
    for place in (alone, together):
        place.write_rows(eps_rows(46))
    prepared_with(alone, plan, **order)
    step.run(alone.train_order(**EXACT | {"training": PACKED}), alone.reporter)
    assert "packed 46 examples into 7 rows of 256 tokens" in stages(alone)
    prepared(together, plan | {"gradient_accumulation": 1}, **order)
    learnt_together(together, tmp_path / "words", order=EXACT | {"training": PACKED})
    assert losses(together) == pytest.approx(losses(alone), abs=1e-5)


def validation_loss(workplace: Workplace) -> float:
    result = result_in(workplace.directory / "train" / "result.json")
    assert isinstance(result, TrainResult)
    return float(result.training.validation_loss or "nan")


def test_one_process_speaks_for_all(workplace: Workplace, tmp_path: Path) -> None:
    prepared(workplace, **EXACT)
    ended = train_as_team(workplace, tmp_path / "words", **EXACT)
    assert [event["step"] for event in ended.events[0] if event.get("stage") == "training" and "step" in event] == list(
        range(STEPS + 1)
    )
    assert ended.events[1] == []
    assert list(ended.words) == [0]


def went_on(workplace: Workplace, tmp_path: Path, alone: Workplace, tolerance: float = 1e-5) -> None:
    """A further attempt ends as if nothing had happened."""
    learnt_together(workplace, tmp_path / "next")
    assert losses(workplace) == pytest.approx(losses(alone), abs=tolerance)


@pytest.mark.parametrize(
    ("sharding", "quantization"), [(Sharding.DDP, Quantization.NONE), (Sharding.FSDP, Quantization.NF4)]
)
def test_when_one_is_told_to_stop_all_save_one_checkpoint_and_stop(
    workplace: Workplace,
    tmp_path: Path,
    of_one: Callable[[Quantization], Workplace],
    sharding: Sharding,
    quantization: Quantization,
) -> None:
    prepared(workplace, {"sharding": sharding}, **EXACT, **(NF4 if quantization is Quantization.NF4 else {}))
    ended = train_as_team(workplace, tmp_path / "words", team_faults.is_told_to_stop, **EXACT)
    assert ended.exit_codes == [ExitCode.STOPPED, ExitCode.STOPPED]
    assert checkpoints(workplace) == [4, 5]
    assert "rng_state_1.pth" in manifest(workplace, 5)["files"]
    went_on(workplace, tmp_path, of_one(quantization), tolerance=1e-4 if quantization is Quantization.NF4 else 1e-5)


def test_when_the_time_of_one_is_over_all_save_one_checkpoint_and_end(
    workplace: Workplace, tmp_path: Path, of_one: Callable[[Quantization], Workplace]
) -> None:
    prepared(workplace, **EXACT)
    limited = EXACT | {"deadline_seconds": 3600}
    ended = train_as_team(workplace, tmp_path / "words", team_faults.runs_out_of_time, **limited)
    assert ended.exit_codes == [ExitCode.DEADLINE_EXCEEDED, ExitCode.DEADLINE_EXCEEDED]
    assert "reached step 5 of 10; the checkpoint of step 5 is kept" in ended.told[1]
    failure = decisive(ended.words)
    assert failure is not None
    assert failure.to_failure().deadline_seconds == 3600
    went_on(workplace, tmp_path, of_one(Quantization.NONE))


def test_when_one_is_killed_the_others_end_and_the_next_attempt_goes_on_from_the_checkpoint(
    workplace: Workplace, tmp_path: Path, of_one: Callable[[Quantization], Workplace]
) -> None:
    prepared(workplace, **EXACT)
    ended = train_as_team(workplace, tmp_path / "words", team_faults.is_killed, **EXACT)
    assert ended.exit_codes == [ExitCode.INFRASTRUCTURE, -9]
    assert "process 0 of 2 lost the connection to another" in ended.told[1]
    assert checkpoints(workplace) == [0, 4]
    went_on(workplace, tmp_path, of_one(Quantization.NONE))


def test_when_one_runs_out_of_memory_all_take_smaller_micro_batches(
    workplace: Workplace, tmp_path: Path, of_one: Callable[[Quantization], Workplace]
) -> None:
    prepared(workplace, **EXACT)
    ended = train_as_team(workplace, tmp_path / "words", team_faults.runs_out_of_memory, **EXACT)
    assert ended.told[0] is ExitCode.GPU_OUT_OF_MEMORY
    fit = json.loads((checkpoints_folder(workplace) / "fit.json").read_text())
    assert (fit["microBatchSize"], fit["accumulation"], fit["ranks"]) == (1, 4, 2)
    went_on(workplace, tmp_path, of_one(Quantization.NONE))


def test_when_the_loss_of_one_is_no_number_all_leave_out_the_step_and_go_back(
    workplace: Workplace, tmp_path: Path
) -> None:
    prepared(workplace, **EXACT)
    ended = train_as_team(workplace, tmp_path / "words", team_faults.computes_nonsense, **EXACT)
    assert ended.exit_codes == [0, 0]
    problems = [event["message"] for event in ended.events[0] if event["event"] == "problem"]
    assert "step 6 was left out" in problems[0]
    assert "going back to step 4 with half the learning rate" in problems[-1]
    result = ended.words[0].result
    assert isinstance(result, TrainResult)
    assert (result.training.rollbacks, result.training.steps) == (1, STEPS)


CARD = "ambient=25 resistance=0.25 tau=0.5 idle=50 busy=400 lag=0.05"
"""37 °C at rest; gets to 125 °C at work, and back, within two seconds."""


def test_when_one_gpu_is_too_hot_all_save_one_checkpoint_and_pause(workplace: Workplace, tmp_path: Path) -> None:
    """The second process watches no GPU: the first one of a node watches all."""
    prepared(workplace, **EXACT)
    cards = (f"gpu uuid=GPU-cool {CARD}", f"gpu uuid=GPU-hot {CARD}")
    ended = train_as_team(
        workplace,
        tmp_path / "words",
        partial(team_faults.second_card_gets_hot, str(tmp_path), *cards),
        **EXACT,
        guard=Guard(max_temperature_celsius=70, action=GuardAction.PAUSE),
    )
    assert ended.exit_codes == [ExitCode.OVERHEATED, ExitCode.OVERHEATED]
    assert "the checkpoint of step 6 is saved" in ended.told[1]
    assert checkpoints(workplace)[-1] == 6
    (attempt,) = json.loads((checkpoints_folder(workplace) / "attempts.json").read_text())["attempts"]
    assert sorted(attempt["energy_joules"]) == ["GPU-cool", "GPU-hot"]
    assert attempt["is_paused"]


def test_a_base_model_that_is_whole_in_each_process_although_it_should_not_be_ends_the_training(
    workplace: Workplace, tmp_path: Path
) -> None:
    prepared(workplace, {"sharding": Sharding.FSDP}, **EXACT)
    ended: Ended = train_as_team(workplace, tmp_path / "words", team_faults.shards_nothing, **EXACT)
    code, message = ended.told
    assert code is ExitCode.USER, "it would end the same each time: it is told once"
    assert "of its 21 weights are whole in each process" in message
