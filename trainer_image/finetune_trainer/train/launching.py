"""Starts the processes that train together on this node, and tells what came of it. Carried by torch's elastic agent,
as torchrun is; one that fails ends all of them, and the next attempt goes on from the checkpoint."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.distributed import DistError
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous.api import RendezvousError
from torch.distributed.launcher.api import LaunchConfig, launch_agent

from finetune_api.conditions import Reason
from finetune_api.orders import NODE_RANK_VARIABLE, NODES_VARIABLE, ORDER_VARIABLE, RENDEZVOUS_VARIABLE, TrainOrder
from finetune_api.results import TrainResult
from finetune_trainer.failures import InfrastructureError, StoppedError, UserError
from finetune_trainer.membership import LAST_WORDS_VARIABLE
from finetune_trainer.stopping import STOP
from finetune_trainer.train.last_words import LastWord, decisive, read_last_words

_THREADS_VARIABLE = "OMP_NUM_THREADS"
_LEAVE_SECONDS = 90
"""So long the processes may take to save a checkpoint; a pod is killed after 120 s."""
_MEET_SECONDS = 900
"""So long the pods of a Job wait for each other: one may still pull its image."""
_LOOK_SECONDS = 0.2
_NOTHING_KEPT = "the processes that train together had not begun"


def train_together(order: TrainOrder) -> TrainResult | None:
    """Trains in as many processes as the order has GPUs a node. Raises what the decisive one of them ended with. None
    on all nodes but the first, which tells the result."""
    with tempfile.TemporaryDirectory(prefix="finetune-") as name:
        folder = Path(name)
        try:
            # The agent answers signals itself, once its processes run.
            with _environment(order, folder), STOP.at_once(_NOTHING_KEPT):
                launch_agent(_configuration(order), sys.executable, ["-m", "finetune_trainer"])
        except SignalException as stopped:
            failure = decisive(read_last_words(folder))
            raise failure or StoppedError(f"stopped as told; {_NOTHING_KEPT}") from stopped
        except ChildFailedError as failed:
            raise _cause(failed, read_last_words(folder)) from None
        except (DistError, RendezvousError) as error:
            message = f"the pods of the training did not find each other within {_MEET_SECONDS} s: {error}"
            raise InfrastructureError(Reason.POD_LOST, message) from error
        finally:
            STOP.listen()
        return _result(read_last_words(folder))


def _configuration(order: TrainOrder) -> LaunchConfig:
    """Alone on its node, the agent finds a free port itself. Of several pods, each has its number from its Job."""
    nodes = int(os.environ.get(NODES_VARIABLE, order.nodes))
    if nodes > 1 and RENDEZVOUS_VARIABLE not in os.environ:
        raise UserError(
            Reason.ORDER_INVALID,
            f"spec.resources.nodes: {nodes} nodes need to know where they meet: set {RENDEZVOUS_VARIABLE} to host:port "
            f"of the first one and {NODE_RANK_VARIABLE} to each one's number, or train on one node",
        )
    several = {
        "rdzv_backend": "static",
        "rdzv_endpoint": os.environ.get(RENDEZVOUS_VARIABLE, ""),
        "rdzv_configs": {"rank": int(os.environ.get(NODE_RANK_VARIABLE, 0)), "timeout": _MEET_SECONDS},
    }
    alone = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "local_addr": "localhost"}
    return LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=max(1, order.gpus),
        run_id=Path(order.directory).name,
        max_restarts=0,
        monitor_interval=_LOOK_SECONDS,
        shutdown_timeout=_LEAVE_SECONDS,
        signals_to_handle="SIGTERM,SIGINT",
        logs_specs=DefaultLogsSpecs(),
        **(several if nodes > 1 else alone),
    )


@contextmanager
def _environment(order: TrainOrder, folder: Path) -> Iterator[None]:
    """What the processes inherit: the order, where to leave their last words, and each its share of the threads."""
    before = dict(os.environ)
    os.environ[ORDER_VARIABLE] = order.to_json()
    os.environ[LAST_WORDS_VARIABLE] = str(folder)
    if _THREADS_VARIABLE in before:
        os.environ[_THREADS_VARIABLE] = str(max(1, int(before[_THREADS_VARIABLE]) // max(1, order.gpus)))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _cause(failed: ChildFailedError, words: dict[int, LastWord]) -> Exception:
    """A process that was killed says nothing; what the others say then is only that they lost it. (The agent's own
    signal may end a process that has said its last word already.)"""
    ends = failed.failures.items()
    killed = {rank: -end.exitcode for rank, end in ends if end.exitcode < 0 and end.local_rank not in words}
    if not killed:
        return decisive(words) or failed
    rank, number = min(killed.items())
    return decisive(words, some_were_killed=True) or InfrastructureError(
        Reason.POD_LOST,
        f"process {rank} of the training was killed ({signal.Signals(number).name}); the training goes on from its "
        "last checkpoint. When this comes again, raise spec.resources.memory",
    )


def _result(words: dict[int, LastWord]) -> TrainResult | None:
    results = [word.result for word in words.values() if isinstance(word.result, TrainResult)]
    return results[0] if results else None
