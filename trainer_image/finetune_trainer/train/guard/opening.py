"""Finds the GPUs that are to be watched, or says why there is nothing to watch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pynvml

from finetune_api.guard import Guard
from finetune_api.orders import GPU_SHARED_VARIABLE
from finetune_trainer.reporting import Reporter
from finetune_trainer.train.devices import Device
from finetune_trainer.train.energy import NO_GPU, PARTITIONED, SHARED
from finetune_trainer.train.guard import gpus
from finetune_trainer.train.guard.gpus import Gpu
from finetune_trainer.train.guard.watch import Watch
from finetune_trainer.train.ledger import Ledger
from finetune_trainer.train.team import Team
from finetune_trainer.train.usage_board import UsageBoard


@contextmanager
def watching(
    count: int, device: Device, guard: Guard | None, ledger: Ledger, reporter: Reporter, team: Team, board: UsageBoard
) -> Iterator[Watch]:
    """Watches the training's GPUs: for the guard, for progress reports, and for the ledger, which is written every 10 s
    so that an attempt that is killed counts. One process of each node watches all of its GPUs."""
    count = count if team.leads_node else 0
    watch = watch_gpus(count, device.bus_ids(count), guard)
    watch.rested_before = ledger.rested_seconds_before
    ledger.measure(lambda: board.with_others(watch.usage()), device.peak_memory_bytes)
    reporter.show(watch.vitals)
    if guard is not None and not watch.is_guarding:
        reporter.problem(f"spec.guard: nothing is guarded: {watch.usage().energy_note}")
    with watch.running(ledger.write if team.is_first else lambda: board.post(watch.usage())):
        yield watch


def watch_gpus(count: int, bus_ids: Sequence[str], guard: Guard | None) -> Watch:
    """Watches the GPUs at these PCI addresses; where CUDA is not used (`bus_ids` is empty), the first `count`."""
    if count == 0:
        return Watch((), guard, energy_note=NO_GPU)
    try:
        found = gpus.by_bus(bus_ids) if bus_ids else gpus.first(count)
        return Watch(found, guard, energy_note=_why_not_attributable(found))
    except pynvml.NVMLError as error:
        # Without CUDA, a pod that computes on a test device has no NVML either.
        is_missing = isinstance(error, pynvml.NVMLError_LibraryNotFound) and not bus_ids
        return Watch((), guard, energy_note=NO_GPU if is_missing else f"not measured: {error}")


def _why_not_attributable(found: Sequence[Gpu]) -> str | None:
    if os.environ.get(GPU_SHARED_VARIABLE) == "true":
        return SHARED
    return PARTITIONED if any(gpu.is_partitioned for gpu in found) else None
