"""TensorBoard event files, one each time that a training begins or goes on, which TensorBoard shows as one curve.

They are written by the training itself. tensorboardX's SummaryWriter has a thread for that, which a full volume ends
without a word; the training then waits for ever to hand it the next point.
"""

from __future__ import annotations

import time
from pathlib import Path

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from finetune_trainer.train.tracking.points import Point

_FLUSH_SECONDS = 10.0


class TensorBoardFiles:
    """The curves in a folder, going on after a step: what was written beyond it, before a kill or a rollback, is
    purged. All may raise OSError, after which the file is of no more use."""

    def __init__(self, folder: Path, after_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        earlier = sum(1 for _ in folder.glob("events.*"))
        # The files are named by the second, and read in the order of their names.
        self._writer = EventsWriter(str(folder / "events"), filename_suffix=f".{earlier:08}")
        self._flushed = 0.0
        start = SessionLog(status=SessionLog.START)
        self._writer.write_event(Event(wall_time=time.time(), step=after_step + 1, session_log=start))

    def add(self, point: Point) -> None:
        for name, value in point.values.items():
            scalar = summary.scalar(name, value)
            self._writer.write_event(Event(wall_time=point.time, step=point.step, summary=scalar))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        self._writer.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        self._writer.close()
