"""Decisions about a dataset's examples: mounted for prepare, and part of what a run is named by."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.finetunejob import FineTuneJobStatus
from finetune_api.group import Step
from finetune_api.orders import ORDER_VARIABLE, PrepareTrainingOrder, parse_order
from finetune_api.results import PrepareTrainingResult

from .building import DATASET_SOURCE, Raw, fine_tune_job, job_of, run_of, uid_of, with_result
from .deciding import decide, told
from .outcomes import prepared

_ON_A_CLAIM = {"persistentVolumeClaim": {"claimName": "datasets", "path": "decided.jsonl"}}
_IN_A_MAP = {"configMap": {"name": "decided", "key": "decisions.jsonl"}}


def job(**dataset: Any) -> Raw:
    return fine_tune_job(dataset={**DATASET_SOURCE, **dataset})


def prepare_pod(body: Raw) -> Raw:
    (child,) = decide(told(body)).created
    pod: Raw = child["spec"]["template"]["spec"]
    return pod


def order_of(pod: Raw) -> PrepareTrainingOrder:
    variables = {item["name"]: item.get("value") for item in pod["containers"][0]["env"]}
    order = parse_order(variables[ORDER_VARIABLE])
    assert isinstance(order, PrepareTrainingOrder)
    return order


@pytest.mark.parametrize(
    ("source", "volume", "path", "field"),
    [
        (_ON_A_CLAIM, "/inputs/claims/datasets", "decided.jsonl", "persistentVolumeClaim.path"),
        (_IN_A_MAP, "/inputs/configmaps/decided", "decisions.jsonl", "configMap.key"),
    ],
)
def test_decisions_are_mounted_read_only_and_ordered(source: Raw, volume: str, path: str, field: str) -> None:
    pod = prepare_pod(job(decisions=source))
    found = order_of(pod).decisions
    assert found is not None
    assert (found.volume, found.path) == (volume, path)
    assert found.manifest_field == f"spec.dataset.decisions.{field}"
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts[volume]["readOnly"] is True


def test_decisions_beside_the_dataset_take_no_second_volume_of_its_claim() -> None:
    volumes = prepare_pod(job(decisions=_ON_A_CLAIM))["volumes"]
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]
    assert len(claims) == len(set(claims))


def test_limits_reach_prepare() -> None:
    assert order_of(prepare_pod(job(quality={"maxPersonalPercent": "0"}))).quality.max_personal_percent == "0"


def test_only_limits_and_decisions_that_were_given_name_another_run() -> None:
    defaults = {"maxPersonalPercent": "5", "nearDuplicateSimilarity": "0.85"}
    assert run_of(job(quality={})) == run_of(job(quality=defaults)) == run_of(job())
    runs = {run_of(job(**each)) for each in ({}, {"quality": {"maxPersonalPercent": "1"}}, {"decisions": _IN_A_MAP})}
    assert len(runs) == 3


def status_after(result: PrepareTrainingResult) -> FineTuneJobStatus:
    body = told(job())
    step = job_of(body, Step.PREPARE, ended="Complete")
    status: FineTuneJobStatus = decide(body, step, with_result(step, result)).status
    return status


def test_the_status_says_where_the_report_lies() -> None:
    body = job()
    path = f"{body['metadata']['namespace']}/{uid_of(body)}/{run_of(body)}/prepare/dataset_report.html"
    status = status_after(prepared().model_copy(update={"report_path": "prepare/dataset_report.html"}))
    assert status.dataset is not None
    assert status.dataset.report is not None
    assert status.dataset.report.path == path


def test_a_preparation_of_an_older_trainer_has_no_report() -> None:
    dataset = status_after(prepared()).dataset
    assert dataset is not None
    assert dataset.report is None
