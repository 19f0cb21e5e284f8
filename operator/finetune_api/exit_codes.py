"""How a pod says whose fault it was."""

from enum import IntEnum


class ExitCode(IntEnum):
    DONE = 0
    DEFECT = 1
    """A defect of ours, with a traceback in the log: tried again, counted."""
    USER = 2
    """The dataset, the spec or the model: the resource fails and says which."""
    INFRASTRUCTURE = 3
    """Volume, network or device: tried again, counted."""
    STOPPED = 4
    """Told to stop after a checkpoint: goes on from there, not counted."""
    GPU_OUT_OF_MEMORY = 5
    """Goes on with half the micro-batch and twice the accumulation."""
    NON_FINITE_LOSS = 6
    """The loss is not finite: the resource fails."""
    OVERHEATED = 7
    """Too hot or over power for too long, checkpoint saved: goes on after a pause, counted."""
    DEADLINE_EXCEEDED = 8
    """Out of time: the resource fails, the last checkpoint is kept."""
