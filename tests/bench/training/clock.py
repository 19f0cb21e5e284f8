"""Takes the times of a training, the same way for ours and for the plain script."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Clock(TrainerCallback):  # type: ignore[misc]
    """Tokens without padding, from the end of the first step to the end of the last: the first one warms up."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)
        self.steps = 0
        self.first_step_at = 0.0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._last = (time.monotonic(), int(state.num_input_tokens_seen))
        self.steps += 1
        if self._first is None:
            self._first = self._last
            self.first_step_at = time.time()

    def write(self, path: Path, **others: float) -> None:
        first_time, first_tokens = self._first or self._last
        seconds, tokens = self._last[0] - first_time, self._last[1] - first_tokens
        figures = {"seconds": seconds, "tokens": tokens, "steps": self.steps, "firstStepAt": self.first_step_at}
        path.write_text(json.dumps(figures | others))
