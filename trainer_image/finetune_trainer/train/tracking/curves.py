"""All curves of a training, wherever they are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from finetune_api.orders import TrainOrder
from finetune_api.results import PrepareTrainingResult
from finetune_api.tracking import Tracking
from finetune_trainer.digests import text_digest
from finetune_trainer.reporting import Reporter
from finetune_trainer.train.tracking.background import BackgroundRun
from finetune_trainer.train.tracking.mlflow_run import MLflowRun
from finetune_trainer.train.tracking.points import Point, RunDescription
from finetune_trainer.train.tracking.tensorboard_files import TensorBoardFiles
from finetune_trainer.train.tracking.wandb_run import WandbRun, load_library

TENSORBOARD_FOLDER = "tensorboard"
_KEY_LENGTH = 32


class Curves:
    """Leaving the `with` block closes them, however it is left. Without a folder, none are kept."""

    def __init__(self, folder: Path | None, run: RunDescription, tracking: Tracking | None, reporter: Reporter) -> None:
        self._folder = folder
        self._reporter = reporter
        self._files: TensorBoardFiles | None = None
        self._run = None if folder is None else _background_run(folder, run, tracking)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write(TensorBoardFiles.close)
        if self._run is not None:
            self._run.close()
            self._report_problem(self._run)

    def begin(self, after_step: int) -> None:
        """The curves go on after a step, from a checkpoint or from the start."""
        self._write(TensorBoardFiles.close)
        if self._folder is not None:
            self._open(self._folder / TENSORBOARD_FOLDER, after_step)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        point = Point(step, values)
        self._write(lambda files: files.add(point))
        if self._run is not None:
            self._run.add(point)
            self._report_problem(self._run)

    def flush(self) -> None:
        """What a checkpoint remembers must be in the files."""
        self._write(TensorBoardFiles.flush)

    def _open(self, folder: Path, after_step: int) -> None:
        try:
            self._files = TensorBoardFiles(folder, after_step)
        except OSError as error:
            self._give_up(error)

    def _write(self, write: Callable[[TensorBoardFiles], None]) -> None:
        if self._files is None:
            return
        try:
            write(self._files)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """A curve is no reason to end a training; a checkpoint that cannot be saved will be."""
        self._files = None
        self._reporter.problem(f"TensorBoard's files cannot be written, and end here: {error.strerror or error}")

    def _report_problem(self, run: BackgroundRun) -> None:
        problem = run.new_problem()
        if problem is not None:
            self._reporter.problem(problem)


def curves_of(
    order: TrainOrder, prepared: PrepareTrainingResult, identity: str, reporter: Reporter, *, are_kept: bool = True
) -> Curves:
    """Of several processes that train together, one keeps them."""
    folder = Path(order.directory) if are_kept else None
    return Curves(folder, _describe(order, prepared, identity), order.tracking, reporter)


def _background_run(folder: Path, run: RunDescription, tracking: Tracking | None) -> BackgroundRun | None:
    if tracking is None:
        return None
    mlflow, wandb = tracking.mlflow, tracking.wandb
    if mlflow is not None:
        return BackgroundRun("spec.tracking.mlflow", lambda: MLflowRun(mlflow, run, folder))
    if wandb is not None:
        load_library(wandb)
        return BackgroundRun("spec.tracking.wandb", lambda: WandbRun(wandb, run, folder))
    return None


def _describe(order: TrainOrder, prepared: PrepareTrainingResult, identity: str) -> RunDescription:
    """The key tells two jobs of the same content apart by their folders, which are named by the jobs' uids."""
    key = text_digest(f"{order.directory} {identity}").removeprefix("sha256:")[:_KEY_LENGTH]
    parameters = {"baseModel": prepared.base_model_digest, "dataset": prepared.dataset.digest}
    for prefix, fields in (("plan", prepared.plan), ("lora", order.lora), ("training", order.training)):
        document = fields.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"memory"})
        parameters |= {f"{prefix}.{name}": str(value) for name, value in document.items()}
    return RunDescription(key, "/".join(Path(order.directory).parts[-2:]), parameters)
