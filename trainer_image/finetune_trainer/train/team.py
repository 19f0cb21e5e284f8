"""The processes that train together: what they agree on, so that all of them do the same next."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate.utils import check_cuda_p2p_ib_support
from torch import distributed

from finetune_api.conditions import Reason
from finetune_trainer.failures import InfrastructureError
from finetune_trainer.membership import membership
from finetune_trainer.stopping import STOP
from finetune_trainer.train.devices import Device

_Value = TypeVar("_Value")
_PATIENCE = timedelta(minutes=30)
"""So long they wait for one that does not answer: one may still check the digest of a large base model."""
_WORDS = ("gloo", "connection closed by peer", "connection reset by peer", "broken pipe", "nccl")


@dataclass(frozen=True)
class Team:
    """This process among those that train together; by default it is the only one.

    What is agreed on must be asked by all of them, in the same order.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """The one that reports, and that writes what belongs to all."""
        return self.rank == 0

    @property
    def leads_node(self) -> bool:
        """The one that looks after the node's GPUs."""
        return self.local_rank == 0

    @property
    def is_alone(self) -> bool:
        return self.size == 1

    def largest(self, value: float) -> float:
        """The largest of the values that they say."""
        return self._reduced([value], distributed.ReduceOp.MAX)[0]

    def sums(self, *values: float) -> list[float]:
        return self._reduced(list(values), distributed.ReduceOp.SUM)

    def is_told_to_stop(self) -> bool:
        """Whether one of them was told to stop; from here on all of them were."""
        if self.largest(float(STOP.requested)):
            STOP.requested = True
        return STOP.requested

    def told_by_first(self, find: Callable[[], _Value]) -> _Value:
        """What the first one finds. The others do not look, since on a shared volume they may see something older."""
        if self.is_alone:
            return find()
        message: list[Any] = [find() if self.is_first else None]
        distributed.broadcast_object_list(message, src=0, device=torch.device("cpu"))
        found: _Value = message[0]
        return found

    def wait(self) -> None:
        """Until all of them have come here."""
        self.largest(0.0)

    @contextmanager
    def first_goes_ahead(self) -> Iterator[None]:
        """Within is the first one alone, then the others, who find what it left."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    def _reduced(self, values: list[float], how: Any) -> list[float]:
        if self.is_alone:
            return values
        tensor = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(tensor, op=how)
        agreed: list[float] = tensor.tolist()
        return agreed


ALONE = Team()


@contextmanager
def joined_team(device: Device) -> Iterator[Team]:
    """The team that this process was started for, once all of it is there. One that is lost is an InfrastructureError:
    whoever lost it starts again from the checkpoint."""
    member = membership()
    if member is None:
        yield ALONE
        return
    try:
        _meet(device)
        yield Team(member.rank, member.size, member.local_rank)
        distributed.destroy_process_group()
    except RuntimeError as error:
        if not is_lost_connection(error):
            raise
        message = f"process {member.rank} of {member.size} lost the connection to another: {error}"
        raise InfrastructureError(Reason.POD_LOST, message) from error


def _meet(device: Device) -> None:
    """What is agreed on goes by way of the CPUs, so that no GPU is waited for."""
    if device.is_gpu:
        torch.cuda.set_device(device.name)
        if not check_cuda_p2p_ib_support():
            # RTX 40xx: what accelerate otherwise refuses to start without.
            os.environ.setdefault("NCCL_P2P_DISABLE", "1")
            os.environ.setdefault("NCCL_IB_DISABLE", "1")
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.is_gpu else "gloo", timeout=_PATIENCE)


def is_lost_connection(error: BaseException) -> bool:
    """gloo raises a plain RuntimeError, NCCL one of its own."""
    if isinstance(error, distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)
