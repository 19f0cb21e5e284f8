"""What is said of a training that is under way: that it works, what the guard does about it, what it waits for."""

import math

from finetune_api.conditions import FineTuneJobPhase, Reason
from finetune_api.durations import duration
from finetune_api.events import ProgressEvent
from finetune_api.guard import Guard, GuardState
from finetune_api.planning import TrainingPlan
from finetune_operator.plan.attempts import Running, Waiting
from finetune_operator.plan.reporting import Report

AFFINITY = "node affinity"
"""In the scheduler's message, where nodes are ruled out by their labels."""


def working(running: Running, said: ProgressEvent | None, guard: Guard | None) -> Report:
    """`said` is what the pod told last. Each word of it is written with the progress that came with it, so that the
    guard costs no write of its own."""
    if said is None or said.guard is None or guard is None:
        return Report(FineTuneJobPhase.TRAINING, Reason.RUNNING, f"Training {running.where}.", validated=True)
    doing = (
        "resting between micro-batches to keep"
        if said.guard is GuardState.THROTTLED
        else "and about to save a checkpoint and pause, since rests do not keep"
    )
    reason = Reason.THROTTLED if said.guard is GuardState.THROTTLED else Reason.OVERHEATED
    message = f"Training {running.where}, {doing} {_limits(guard)}.{_so_far(said)}{_readings(said)}"
    return Report(FineTuneJobPhase.TRAINING, reason, message, validated=True)


def _limits(guard: Guard) -> str:
    power, celsius = guard.max_power_watts, guard.max_temperature_celsius
    named = [f"spec.guard.maxPowerWatts ({power} W)"] if power is not None else []
    named += [f"spec.guard.maxTemperatureCelsius ({celsius} °C)"] if celsius is not None else []
    return " and ".join(named)


def _so_far(said: ProgressEvent) -> str:
    seconds = said.throttled_seconds
    return f" It has rested {duration(seconds)} so far." if seconds and math.isfinite(seconds) else ""


def _readings(said: ProgressEvent) -> str:
    watts = [f"{said.gpu_watts:.0f} W in all"] if said.gpu_watts is not None else []
    celsius = [f"{said.gpu_celsius:.0f} °C at the hottest GPU"] if said.gpu_celsius is not None else []
    return f" At the last look: {', '.join(watts + celsius)}." if watts or celsius else ""


def queued(waiting: Waiting, plan: TrainingPlan | None) -> Report:
    """A pod that no node's labels suit waits for a GPU, too, where the plan demands memory of it."""
    reason, message = waiting.reason, waiting.message
    memory = plan.minimum_gpu_memory_mib if plan is not None else None
    if reason is Reason.WAITING_FOR_NODE and memory is not None and AFFINITY in message:
        reason = Reason.WAITING_FOR_GPU
        message = (
            f"No node that spec.resources allows has the GPUs free, with {memory} MiB each that no other pod takes of, "
            f"that the plan needs; the pod waits. {message}"
        )
    elif reason is Reason.WAITING_FOR_NODE and plan is not None and plan.gpus and AFFINITY in message:
        message = f"{message} Nodes whose GPUs are shared by time slicing or MPS are left out, too."
    return Report(FineTuneJobPhase.QUEUED, reason, message, validated=True)
