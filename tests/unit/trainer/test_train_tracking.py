"""The training's curves: in TensorBoard's files always, in MLflow or Weights & Biases where the order says so."""

from __future__ import annotations

import math
import os
import shutil
import socket
import struct
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from interruptions import poison, start, stopped
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from workplaces import TRAINING, Workplace, losses, trained

from finetune_api.tracking import MLFLOW_TOKEN_VARIABLE, WANDB_KEY_VARIABLE, MLflow
from finetune_trainer import prepare_training
from finetune_trainer.train import step
from finetune_trainer.train.completion_trainer import CompletionTrainer
from finetune_trainer.train.tracking.background import BackgroundRun
from finetune_trainer.train.tracking.mlflow_run import MLflowRun
from finetune_trainer.train.tracking.points import Point, RunDescription
from finetune_trainer.train.tracking.tensorboard_files import TensorBoardFiles

NOBODY = "http://127.0.0.1:9"
"""A server that is not there: nothing listens on the discard port."""


def curve(workplace: Workplace, name: str) -> list[tuple[int, float]]:
    """As TensorBoard shows it."""
    events = EventAccumulator(str(workplace.directory / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def steps(points: list[tuple[int, float]]) -> list[int]:
    return [step for step, _ in points]


def at_full_rate_from(first: int) -> Callable[[CompletionTrainer], bool]:
    full = float(TRAINING["learning_rate"])
    return lambda trainer: trainer.state.global_step + 1 >= first and trainer.args.learning_rate == full


# TensorBoard


def test_every_training_leaves_its_curves_for_tensorboard(workplace: Workplace) -> None:
    result = trained(workplace)
    found = curve(workplace, "loss")
    assert steps(found) == list(range(1, 11))
    assert [value for _, value in found] == pytest.approx(losses(workplace), rel=1e-6)
    rates = [value for _, value in curve(workplace, "learning_rate")]
    assert rates[-1] < max(rates) == pytest.approx(3e-2)
    for name in ("grad_norm", "tokens_per_second"):
        values = [value for _, value in curve(workplace, name)]
        assert len(values) == 10 and min(values) > 0
    held_out = [(at, f"{value:.4f}") for at, value in curve(workplace, "validation_loss")]
    assert held_out == [(0, result.training.validation_loss_before), (10, result.training.validation_loss)]


@pytest.mark.usefixtures("stop_request")
def test_a_resumed_training_goes_on_with_the_same_curve(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace, at=2)
    stopped(workplace, "training on from step 3", at=6)
    step.run(workplace.train_order(), workplace.reporter)
    found = curve(workplace, "loss")
    assert steps(found) == list(range(1, 11))
    assert [value for _, value in found] == pytest.approx(losses(workplace), rel=1e-6)


@pytest.mark.usefixtures("stop_request")
def test_a_rollback_takes_the_bad_steps_off_the_curves(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps 6 to 8 come out far too high at the full learning rate, and are taken anew from the checkpoint of 4."""
    poison(monkeypatch, at_full_rate_from(6), lambda loss: loss * math.inf)
    assert trained(workplace).training.rollbacks == 1
    found = curve(workplace, "loss")
    assert steps(found) == list(range(1, 11))
    assert [value for _, value in found] == pytest.approx(losses(workplace), rel=1e-6)
    assert steps(curve(workplace, "learning_rate")) == list(range(1, 11))
    assert steps(curve(workplace, "validation_loss")) == [0, 10]


def test_every_look_of_early_stopping_is_on_the_curve(workplace: Workplace) -> None:
    trained(workplace, training=TRAINING | {"checkpoint_every_steps": 2, "early_stopping": {"patience": 9}})
    assert steps(curve(workplace, "validation_loss")) == [0, 2, 4, 6, 8, 10]


def test_what_was_written_after_the_checkpoint_is_purged(workplace: Workplace) -> None:
    """A pod that was killed had gone on to step 7; the checkpoint was of step 4."""
    folder = workplace.directory / "tensorboard"
    for after, last, value in ((0, 7, 1.0), (4, 9, 2.0)):
        files = TensorBoardFiles(folder, after_step=after)
        for number in range(after + 1, last + 1):
            files.add(Point(number, {"loss": value}))
        files.close()
    assert curve(workplace, "loss") == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), *((n, 2.0) for n in range(5, 10))]


# MLflow


def mlflow_runs(uri: str, experiment: str = "finetune") -> tuple[Any, list[Any]]:
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    return client, list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def check_mlflow(uri: str, workplace: Workplace, experiment: str = "finetune") -> None:
    """One run of all attempts, with every step once."""
    client, (run,) = mlflow_runs(uri, experiment)
    assert run.info.status == "FINISHED"
    history = sorted(client.get_metric_history(run.info.run_id, "loss"), key=lambda metric: metric.step)
    assert [metric.step for metric in history] == list(range(1, 11))
    assert [metric.value for metric in history] == pytest.approx(losses(workplace), rel=1e-6)
    assert {"loss", "learning_rate", "grad_norm", "tokens_per_second", "validation_loss"} == set(run.data.metrics)
    looks = client.get_metric_history(run.info.run_id, "validation_loss")
    assert sorted(metric.step for metric in looks) == [0, 10]
    assert run.data.params["lora.rank"] == "16"
    assert run.data.params["plan.method"] == "lora"


@pytest.mark.usefixtures("stop_request")
def test_mlflow_without_a_server_writes_to_the_volume_and_asks_no_network(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(own: socket.socket, address: Any) -> None:
        raise AssertionError(f"connected to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    assert "artifacts" in workplace.directory.parts, "as where pods mount the volume, and MLflow finds nothing"
    stopped(workplace, at=3, tracking={"mlflow": {}})
    step.run(workplace.train_order(tracking={"mlflow": {}}), workplace.reporter)
    copy = shutil.copytree(workplace.directory / "mlruns", workplace.root / "taken home")
    assert capfd.readouterr().out == ""
    check_mlflow(copy.as_uri(), workplace)
    assert workplace.problems == []


@dataclass
class Doorkeeper:
    """Lets nobody through to the application who does not show the token."""

    application: Any
    token: str | None = None
    shown: list[str | None] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.shown.append(environ.get("HTTP_AUTHORIZATION"))
        if self.token is None or self.shown[-1] == f"Bearer {self.token}":
            answer: Iterable[bytes] = self.application(environ, start_response)
            return answer
        start_response("401 Unauthorized", [("Content-Type", "text/plain")])
        return [b"Show the token."]


@pytest.fixture
def doorkeeper() -> Doorkeeper:
    return Doorkeeper(application=None)


@pytest.fixture
def mlflow_server(tmp_path: Path, doorkeeper: Doorkeeper) -> Iterator[str]:
    """MLflow's own server, over a file store."""
    store = (tmp_path / "server").as_uri()
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = store
    from mlflow.server import app
    from werkzeug.serving import make_server

    doorkeeper.application = app
    server = make_server("127.0.0.1", 0, doorkeeper, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.usefixtures("stop_request")
def test_mlflow_on_a_server_has_one_run_of_all_attempts(workplace: Workplace, mlflow_server: str) -> None:
    tracking = {"mlflow": {"server": mlflow_server}}
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace, at=3, tracking=tracking)
    step.run(workplace.train_order(tracking=tracking), workplace.reporter)
    check_mlflow(mlflow_server, workplace)
    assert not (workplace.directory / "mlruns").exists()


def test_mlflow_on_a_server_is_shown_the_token_that_the_pod_was_given(
    workplace: Workplace, mlflow_server: str, doorkeeper: Doorkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    doorkeeper.token = "let-me-in"
    monkeypatch.setenv(MLFLOW_TOKEN_VARIABLE, "let-me-in")
    trained(workplace, tracking={"mlflow": {"server": mlflow_server, "experiment": "guarded"}})
    assert workplace.problems == []
    assert set(doorkeeper.shown) == {"Bearer let-me-in"}
    check_mlflow(mlflow_server, workplace, "guarded")


def test_a_server_that_asks_for_a_token_and_gets_none_costs_no_training(
    workplace: Workplace, mlflow_server: str, doorkeeper: Doorkeeper
) -> None:
    doorkeeper.token = "let-me-in"
    assert trained(workplace, tracking={"mlflow": {"server": mlflow_server}}).training.steps == 10
    assert set(doorkeeper.shown) == {None}
    assert workplace.problems[-1].startswith("spec.tracking.mlflow: ")
    assert "401" in workplace.problems[-1]


def test_mlflow_gets_a_step_again_only_where_a_rollback_changed_it(tmp_path: Path) -> None:
    """Each attempt opens the run anew."""
    described = RunDescription("key", "earnings", {})
    for loss in (9.0, 1.0, 1.0001):
        MLflowRun(MLflow(), described, tmp_path).send([Point(1, {"loss": 2.0}), Point(2, {"loss": loss})])
    client, (run,) = mlflow_runs((tmp_path / "mlruns").as_uri())
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 2.0), (2, 9.0), (2, 1.0)]


# Weights & Biases


def test_wandb_without_a_server_writes_to_the_volume(workplace: Workplace, capfd: pytest.CaptureFixture[str]) -> None:
    trained(workplace, tracking={"wandb": {"project": "earnings"}})
    assert capfd.readouterr().out == ""
    records = wandb_records(workplace)
    assert {record.run.project for record in records if record.run.project} == {"earnings"}
    rows = wandb_rows(records)
    assert [row["step"] for row in rows] == list(range(11))
    assert [row["loss"] for row in rows[1:]] == pytest.approx(losses(workplace), rel=1e-6)
    assert [row["step"] for row in rows if "validation_loss" in row] == [0, 10]
    assert workplace.problems == []


@pytest.mark.usefixtures("stop_request")
def test_wandb_takes_the_steps_after_a_rollback_too(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps 6 to 8 are left out at the full learning rate, and 5 to 8 taken anew: a row each, in growing order."""
    poison(monkeypatch, at_full_rate_from(6), lambda loss: loss * math.inf)
    assert trained(workplace, tracking={"wandb": {}}).training.rollbacks == 1
    records = wandb_records(workplace)
    rows = wandb_rows(records)
    assert [row["step"] for row in rows] == [*range(9), *range(5, 11)]
    assert [row["loss"] for row in rows[-6:]] == pytest.approx(losses(workplace)[4:], rel=1e-6)
    numbers = [record.history.step.num for record in records if record.history.item]
    assert numbers == sorted(set(numbers))


def test_wandb_shows_its_server_the_key_that_the_pod_was_given(
    workplace: Workplace, doorkeeper: Doorkeeper, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The server takes nobody, so that only who asks, and with what, is seen. In a process of its own: the library
    keeps the first server that it was told of."""
    from werkzeug.serving import make_server

    doorkeeper.token = "nobody has it"
    monkeypatch.setenv(WANDB_KEY_VARIABLE, "k" * 40)
    server = make_server("127.0.0.1", 0, doorkeeper, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    tracking = {"wandb": {"server": f"http://127.0.0.1:{server.server_port}"}}
    with start(workplace, tmp_path / "log", tracking=tracking) as process:
        process.communicate()
    server.shutdown()
    assert process.returncode == 0
    keys = {b64decode(shown.removeprefix("Basic ")).decode() for shown in doorkeeper.shown if shown}
    assert keys == {f"api:{'k' * 40}"}


def wandb_rows(records: list[Any]) -> list[dict[str, float]]:
    """What the curves are drawn from."""
    histories = [record.history.item for record in records if record.history.item]
    return [
        {item.key or item.nested_key[0]: float(item.value_json) for item in history if item.value_json != "null"}
        for history in histories
    ]


def wandb_records(workplace: Workplace) -> list[Any]:
    """What `wandb sync` reads: a LevelDB log of protocol buffers, in blocks of 32 KiB after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = (workplace.directory / "wandb").glob("offline-run-*/run-*.wandb")
    content, at, record, records = path.read_bytes(), 7, b"", []
    while at < len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(Record.FromString(record))
            record = b""
    return records


# Servers that do not answer


@pytest.mark.parametrize("service", ["mlflow", "wandb"])
def test_a_server_that_does_not_answer_costs_no_training(
    workplace: Workplace, service: str, capfd: pytest.CaptureFixture[str]
) -> None:
    result = trained(workplace, tracking={service: {"server": NOBODY}})
    assert capfd.readouterr().out == ""
    assert result.training.steps == 10
    assert steps(curve(workplace, "loss")) == list(range(1, 11))
    assert workplace.problems[-1].startswith(f"spec.tracking.{service}: ")
    assert workplace.problems[-1].endswith("TensorBoard's files on the artifacts volume have all of them")


class Service:
    """A run in a tracking service that is away at first."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.sent: list[int] = []
        self.is_finished = False
        self.has_taken_all = Event()

    def open(self) -> Service:
        return self

    def send(self, points: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("away")
        self.sent += [point.step for point in points]
        if len(self.sent) == 5:
            self.has_taken_all.set()

    def finish(self) -> None:
        self.is_finished = True


def fed(service: Service, open_run: Callable[[], Service], farewell: float = 10.0) -> BackgroundRun:
    run = BackgroundRun("a service", open_run, interval=0.001, farewell=farewell)
    for number in range(1, 6):
        run.add(Point(number, {"loss": 1.0}))
    return run


def test_a_service_that_comes_back_gets_everything_once_and_in_order() -> None:
    service = Service(failures=3)
    run = fed(service, service.open)
    assert service.has_taken_all.wait(10)
    run.close()
    assert service.sent == [1, 2, 3, 4, 5]
    assert service.is_finished
    assert str(run.new_problem()).startswith("a service: points cannot be sent, and are kept: away.")
    assert run.new_problem() is None


def test_a_service_that_hangs_is_left_behind() -> None:
    forever = Event()

    def hang() -> Service:
        forever.wait(60)
        raise ConnectionError("too late")

    run = fed(Service(0), hang, farewell=0.01)
    run.close()
    assert str(run.new_problem()).startswith("a service: 5 points could not be sent: it does not answer.")
    forever.set()
