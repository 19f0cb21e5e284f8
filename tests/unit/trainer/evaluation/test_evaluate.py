"""The evaluate step on a tiny model: what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from evaluation_desk import Desk, questions_asked, write_adapter, write_lines
from safetensors.torch import load_file, save_file

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.quantization import Quantization
from finetune_trainer import evaluate
from finetune_trainer.evaluation import examination
from finetune_trainer.evaluation.examination import Examiner
from finetune_trainer.evaluation.partial import PARTIAL_FOLDER
from finetune_trainer.failures import StoppedError, UserError
from finetune_trainer.scoring.predictions import read_predictions
from finetune_trainer.stopping import STOP

EVERYTHING = 72


def events(desk: Desk) -> list[dict[str, Any]]:
    return [json.loads(line) for line in desk.events.getvalue().splitlines()]


def forbid_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(evaluate, "load_subject", load)


class StopAfter:
    """Asks the step to stop as soon as a batch is done, as a signal in its midst would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
        self._monkeypatch = monkeypatch
        self._left = batches
        self._original = Examiner.answer
        monkeypatch.setattr(Examiner, "answer", lambda *arguments: self._answer(*arguments))

    def _answer(self, *arguments: Any) -> list[str]:
        self._left -= 1
        if self._left == 0:
            self._monkeypatch.setattr(STOP, "requested", True)
        return self._original(*arguments)


def stop_after(monkeypatch: pytest.MonkeyPatch, desk: Desk, batches: int) -> StoppedError:
    with monkeypatch.context() as patch, pytest.raises(StoppedError) as stopped:
        StopAfter(patch, batches)
        desk.evaluate()
    return stopped.value


def test_every_example_has_a_prediction_in_the_suites_order(desk: Desk) -> None:
    result = desk.evaluate()
    predictions = read_predictions(desk.root / "run/evaluate/predictions.jsonl")
    expected = [f"{task}-{number:02d}" for task in ("eps", "mood", "text") for number in range(24)]
    assert [each.id for each in predictions] == expected
    assert [(each.name, each.n) for each in result.tasks] == [("eps", 24), ("mood", 24), ("texts", 24)]


def test_the_scores_are_those_of_the_predictions(desk: Desk) -> None:
    result = desk.evaluate()
    predictions = read_predictions(desk.root / "run/evaluate/predictions.jsonl")
    means = {task: sum(each.score or 0 for each in predictions if each.task == task) / 24 for task in ("eps", "mood")}
    texts = [each for each in predictions if each.task == "texts"]
    nats = sum(each.negative_log_likelihood or 0 for each in texts) / sum(each.utf8_bytes or 0 for each in texts)
    assert result.score == f"{(means['eps'] + 3 * means['mood']) / 4:.4f}"
    assert [each.score for each in result.tasks] == [f"{means['eps']:.4f}", f"{means['mood']:.4f}", f"{nats:.4f}"]
    assert result.tasks[1].parse_failures == sum(each.parsed is False for each in predictions if each.task == "mood")


def test_progress_counts_examples_and_says_how_long_it_takes(desk: Desk) -> None:
    desk.evaluate()
    progress = [event for event in events(desk) if event["event"] == "progress" and event["stage"] == "answering"]
    assert progress[0]["step"] == 0 and progress[-1]["step"] == EVERYTHING
    assert {event["steps"] for event in progress} == {EVERYTHING}
    assert progress[-1]["etaSeconds"] == 0


def test_a_finished_evaluation_is_not_made_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    order = desk.evaluate_order()
    first = evaluate.run(order, desk.reporter())
    shutil.rmtree(desk.suite)
    forbid_loading(monkeypatch)
    assert evaluate.run(order, desk.reporter()) == first


@pytest.mark.parametrize("rows", [1, 5, 64])
def test_the_batch_size_changes_no_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    desk.evaluate("by default")
    monkeypatch.setattr(examination, "ROWS", rows)
    desk.evaluate("other")
    answers = [
        [each.prediction for each in read_predictions(desk.root / run / "evaluate/predictions.jsonl")]
        for run in ("by default", "other")
    ]
    assert answers[0] == answers[1]


def test_a_stopped_evaluation_goes_on_where_it_was_and_ends_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "ROWS", 5)
    desk.evaluate("uninterrupted")
    stopped = stop_after(monkeypatch, desk, batches=3)
    assert stopped.exit_code == ExitCode.STOPPED and "of 72 answers are kept" in stopped.message
    asked = questions_asked(monkeypatch, desk)
    assert asked == 48 - int(stopped.message.split("; ")[1].split()[0])
    assert desk.predictions() == desk.predictions("uninterrupted")
    assert not (desk.root / "run" / PARTIAL_FOLDER).exists()


def test_a_torn_line_of_a_killed_pod_costs_one_batch(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "ROWS", 5)
    desk.evaluate("uninterrupted")
    stop_after(monkeypatch, desk, batches=3)
    batches = desk.root / "run" / PARTIAL_FOLDER / "batches.jsonl"
    batches.write_bytes(batches.read_bytes()[:-30])
    assert questions_asked(monkeypatch, desk) == 48 - 10
    assert desk.predictions() == desk.predictions("uninterrupted")


def test_answers_that_were_all_given_need_no_model(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(evaluate, "_write", fail)
        desk.evaluate()
    forbid_loading(monkeypatch)
    assert desk.evaluate().tasks[0].n == 24


def test_an_adapter_changes_the_answers(desk: Desk, adapter: Path) -> None:
    desk.evaluate("base")
    desk.evaluate("tuned", adapter=adapter)
    assert desk.predictions("base") != desk.predictions("tuned")


def test_the_record_says_how_the_answers_came_about(desk: Desk, adapter: Path) -> None:
    desk.evaluate("tuned", adapter=adapter)
    record = json.loads((desk.root / "tuned/evaluate/evaluation.json").read_text())
    assert record["precision"] == "float32" and record["device"] == "cpu" and record["window"] == 512
    assert record["content"]["adapter"].startswith("sha256:") and record["content"]["decoding"] == {"maxNewTokens": 8}
    assert record["attention"] == "sdpa" and record["content"]["adapterForm"] == "adapter over base"
    assert record["versions"].keys() >= {"python", "torch", "transformers", "peft", "bitsandbytes", "tokenizers"}


@pytest.mark.parametrize("quantization", [Quantization.NF4, Quantization.INT8])
def test_quantized_forms_are_scored_too(desk: Desk, adapter: Path, quantization: Quantization) -> None:
    desk.evaluate("plain", adapter=adapter)
    desk.evaluate("quantized", adapter=adapter, quantization=quantization)
    assert desk.predictions("plain") != desk.predictions("quantized")


def test_an_adapter_of_another_model_is_refused(desk: Desk, adapter: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    shutil.copytree(adapter, foreign)
    config = json.loads((foreign / "adapter_config.json").read_text())
    (foreign / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ["k_proj"]}))
    assert refused(desk, adapter=foreign).reason is Reason.MODEL_INVALID


def test_an_adapter_of_another_rank_is_refused(desk: Desk, adapter: Path, question_model: Path, tmp_path: Path) -> None:
    foreign = write_adapter(question_model, tmp_path / "foreign", rank=2)
    shutil.copy(adapter / "adapter_model.safetensors", foreign)
    failure = refused(desk, adapter=foreign)
    assert failure.reason is Reason.MODEL_INVALID and "does not fit the base model" in failure.message


def refused(desk: Desk, **model: Any) -> UserError:
    with pytest.raises(UserError) as failure:
        desk.evaluate("refused", **model)
    return failure.value


def test_a_suite_that_changed_since_it_was_prepared_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    order = desk.evaluate_order()
    lines = [json.loads(line) for line in (desk.suite / "eps.jsonl").read_text().splitlines()]
    write_lines(desk.suite / "eps.jsonl", lines[:-1])
    forbid_loading(monkeypatch)
    with pytest.raises(UserError) as failure:
        evaluate.run(order, desk.reporter())
    assert failure.value.reason is Reason.CONTENT_CHANGED and order.digest in failure.value.message


def test_a_model_that_computes_nonsense_is_not_scored(desk: Desk, adapter: Path, tmp_path: Path) -> None:
    diverged = tmp_path / "diverged"
    shutil.copytree(adapter, diverged)
    weights = load_file(diverged / "adapter_model.safetensors")
    save_file({name: weight * float("nan") for name, weight in weights.items()}, diverged / "adapter_model.safetensors")
    failure = refused(desk, adapter=diverged)
    assert failure.reason is Reason.MODEL_INVALID and "NaN" in failure.message


@pytest.mark.parametrize(
    ("model", "imported"), [({}, set()), ({"quantization": Quantization.NF4}, {"bitsandbytes"})], ids=["plain", "nf4"]
)
def test_a_base_model_is_evaluated_without_importing_what_only_adapters_take(
    desk: Desk, model: dict[str, Any], imported: set[str]
) -> None:
    code = (
        "import sys; from finetune_trainer.__main__ import main; code = main([]); "
        "print(*{'peft', 'bitsandbytes', 'trl', 'datasets'} & set(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    environment = os.environ | {
        "PYTHONPATH": ":".join(entry for entry in sys.path if entry),
        "FINETUNE_ORDER": desk.evaluate_order(**model).to_json(),
        "FINETUNE_TERMINATION_LOG": str(desk.root / "last words"),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stderr.splitlines()[-1].split()) == imported
