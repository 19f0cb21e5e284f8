"""What the GPUs of all nodes together were used for: each node posts its own, and the first process adds them up."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import chain

from pydantic import TypeAdapter
from torch.distributed import TCPStore

from finetune_trainer.train.team import Team
from finetune_trainer.train.usage import Usage

_USAGE = TypeAdapter(Usage)


class UsageBoard:
    """Kept by torch's agent of the first node. A board that cannot be reached costs figures, never the training."""

    def __init__(self, store: TCPStore | None = None, node: int = 0, nodes: int = 1) -> None:
        self._store = store
        self._node = node
        self._others = {other: Usage() for other in range(nodes) if other != node}

    def post(self, own: Usage) -> None:
        """For the process that adds them up."""
        if self._store is not None:
            try:
                self._store.set(_key(self._node), _USAGE.dump_json(own))
            except RuntimeError:
                return

    def with_others(self, own: Usage) -> Usage:
        """A node's own, and what was last heard of the others."""
        for node in self._others:
            self._others[node] = self._heard_of(node) or self._others[node]
        return together(own, self._others.values())

    def _heard_of(self, node: int) -> Usage | None:
        assert self._store is not None
        try:
            return _USAGE.validate_json(self._store.get(_key(node))) if self._store.check([_key(node)]) else None
        except RuntimeError:
            return None


def board_of_all_nodes(team: Team) -> UsageBoard:
    """As torch's agent tells in the environment; on one node alone nothing is posted, nor by those who watch no GPU."""
    nodes = int(os.environ.get("GROUP_WORLD_SIZE", 1))
    if team.is_alone or nodes == 1 or not team.leads_node:
        return UsageBoard()
    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return UsageBoard(store, int(os.environ["GROUP_RANK"]), nodes)


def together(own: Usage, others: Iterable[Usage]) -> Usage:
    """All GPUs rest together, so rests are told once. A figure that one of them lacks is missing in all."""
    usages = [own, *others]
    return Usage(
        joules=dict(chain.from_iterable(usage.joules.items() for usage in usages)),
        energy_note=next((usage.energy_note for usage in usages if usage.energy_note is not None), None),
        product=own.product,
        rested_seconds=own.rested_seconds,
        rested_joules=sum(usage.rested_joules for usage in usages),
        is_paused=own.is_paused,
        highest_celsius=_highest(usage.highest_celsius for usage in usages),
        highest_mean_watts=_highest(usage.highest_mean_watts for usage in usages),
    )


def _highest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _key(node: int) -> str:
    return f"usage/{node}"
