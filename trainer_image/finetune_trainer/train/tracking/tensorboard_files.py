"""TensorBoard event files, one each time that a training begins or goes on, which TensorBoard shows as one curve."""

from __future__ import annotations

from pathlib import Path

from tensorboardX import SummaryWriter

from finetune_trainer.train.tracking.points import Point

_FLUSH_SECONDS = 10


class TensorBoardFiles:
    """The curves in a folder, going on after a step: what was written beyond it, before a kill or a rollback, is
    purged."""

    def __init__(self, folder: Path, after_step: int) -> None:
        earlier = sum(1 for _ in folder.glob("events.*"))
        self._writer = SummaryWriter(
            str(folder),
            purge_step=after_step + 1,
            flush_secs=_FLUSH_SECONDS,
            # The files are named by the second, and read in the order of their names.
            filename_suffix=f".{earlier:08}",
        )

    def add(self, point: Point) -> None:
        for name, value in point.values.items():
            self._writer.add_scalar(name, value, point.step, walltime=point.time)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
