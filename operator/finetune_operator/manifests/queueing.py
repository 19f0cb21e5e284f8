"""Which Jobs wait in a queue of Kueue's."""

from finetune_api.workload import Resources
from finetune_operator.settings import Settings


def queue_of(named: str | None, resources: Resources | None, settings: Settings) -> str | None:
    """The LocalQueue of a Job, or None. A ClusterQueue for GPUs may well hand out no CPU: a Job that asks for nothing
    else would wait in it for ever, so such a Job is queued only where the administrator says so."""
    asks_for_gpus = resources is not None and resources.gpus > 0
    return named if asks_for_gpus or settings.kueue.cpu_steps else None
