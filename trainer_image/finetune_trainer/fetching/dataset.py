"""Brings a dataset that lies in an object storage to the run's folder, where it is read like any other."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from finetune_api.orders import ObjectLocation, PrepareTrainingOrder
from finetune_trainer.artifacts import fsync_path
from finetune_trainer.fetching.failures import as_failure
from finetune_trainer.reporting import Reporter

_ASIDE = ".part"


def fetch_dataset(order: PrepareTrainingOrder, reporter: Reporter) -> dict[str, Any]:
    """What the dataset's report says of the source; nothing where it is mounted. UserError or InfrastructureError."""
    wanted = order.dataset_object
    if wanted is None:
        return {}
    # Only now: the client's import takes a second, which others need not wait for.
    from finetune_trainer.fetching.download import download

    place = Path(order.dataset.volume) / order.dataset.path
    shutil.rmtree(place.parent, ignore_errors=True)
    place.parent.mkdir(parents=True)
    aside = place.with_name(place.name + _ASIDE)
    reporter.stage("downloading the dataset")
    try:
        received = download(wanted, aside, lambda done, size: reporter.progress(done >> 10, size >> 10))
    except Exception as error:
        failure = as_failure(error, wanted)
        if failure is None:
            raise
        raise failure from error
    fsync_path(aside)
    os.replace(aside, place)
    return {"source": {**_described(wanted), "etag": received.etag, "bytes": received.size, "sha256": received.sha256}}


def _described(wanted: ObjectLocation) -> dict[str, str]:
    return {"endpoint": wanted.endpoint, "bucket": wanted.bucket, "key": wanted.key}
