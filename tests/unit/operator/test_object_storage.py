"""A dataset in an object storage: which may be read, by which address, and who gets to see the keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_api.orders import PrepareTrainingOrder
from finetune_operator.settings import ListedServer

from .building import SETTINGS, Raw, container, fine_tune_job, job_of, on_node, pod_of
from .deciding import decide, order_of, told
from .outcomes import prepare_done

LISTING = replace(SETTINGS, object_stores=(ListedServer("s3.example.com", "https"),))


def stored(**changes: Any) -> Raw:
    given = {"endpoint": "https://minio.storage:9000", "bucket": "datasets", "key": "earnings/v3/train.jsonl"}
    return fine_tune_job(dataset={"s3": {**given, "credentialsSecret": {"name": "minio"}, **changes}})


def pod_spec(manifest: Raw) -> Raw:
    spec: Raw = manifest["spec"]["template"]["spec"]
    return spec


def secrets_of(manifest: Raw) -> dict[str, Raw]:
    (found,) = pod_spec(manifest)["containers"]
    return {
        item["name"]: item["valueFrom"]["secretKeyRef"]
        for item in found["env"]
        if "secretKeyRef" in item.get("valueFrom", {})
    }


def test_prepare_is_told_where_the_object_is_and_where_to_put_it() -> None:
    (prepare,) = decide(stored(caCertificate={"name": "authority", "key": "ca.crt"})).created
    order = order_of(prepare)
    assert isinstance(order, PrepareTrainingOrder) and order.dataset_object is not None
    wanted = order.dataset_object
    assert (wanted.endpoint, wanted.bucket, wanted.region) == (
        "https://minio.storage.svc:9000",
        "datasets",
        "us-east-1",
    )
    assert (wanted.key, wanted.secret) == ("earnings/v3/train.jsonl", "minio")
    assert (order.dataset.volume, order.dataset.path) == (order.directory, "source/dataset.jsonl")
    assert wanted.ca_certificate is not None
    assert (wanted.ca_certificate.volume, wanted.ca_certificate.path) == ("/inputs/configmaps/authority", "ca.crt")
    assert {"name": "configmap-0", "configMap": {"name": "authority"}} in pod_spec(prepare)["volumes"]


def test_prepare_alone_gets_the_keys_from_the_secret() -> None:
    (prepare,) = decide(stored()).created
    assert secrets_of(prepare) == {
        "AWS_ACCESS_KEY_ID": {"name": "minio", "key": "accessKeyId"},
        "AWS_SECRET_ACCESS_KEY": {"name": "minio", "key": "secretAccessKey"},
    }
    job = told(stored())
    (train,) = decide(job, *prepare_done(job)).created
    assert secrets_of(train) == {}
    assert "minio" not in str(train)


def test_a_storage_outside_the_cluster_ends_the_job_before_any_work() -> None:
    decision = decide(stored(endpoint="https://s3.example.com"))
    assert (decision.phase, decision.reason) == ("Failed", Reason.OBJECT_STORE_NOT_ALLOWED)
    assert decision.created == []
    assert decision.message.startswith("spec.dataset.s3.endpoint: https://s3.example.com leads out of the cluster")
    assert "objectStores in the chart's values" in decision.message


def test_a_storage_that_the_administrator_lists_is_read() -> None:
    (prepare,) = decide(stored(endpoint="https://s3.example.com"), settings=LISTING).created
    order = order_of(prepare)
    assert isinstance(order, PrepareTrainingOrder) and order.dataset_object is not None
    assert order.dataset_object.endpoint == "https://s3.example.com"


def test_a_tracking_server_that_is_listed_is_no_storage() -> None:
    tracking = replace(SETTINGS, tracking_servers=LISTING.object_stores)
    decision = decide(stored(endpoint="https://s3.example.com"), settings=tracking)
    assert decision.reason == Reason.OBJECT_STORE_NOT_ALLOWED


def test_a_secret_that_is_missing_is_told_with_the_field_that_names_it() -> None:
    job = told(stored())
    prepare = job_of(job, Step.PREPARE)
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "minio" not found'}
    pod = on_node(pod_of(prepare, containerStatuses=[container(waiting=waiting)]))
    decision = decide(job, prepare, pod)
    assert (decision.phase, decision.reason) == ("Preparing", Reason.POD_REFUSED)
    asked = "spec.dataset.s3.credentialsSecret asks for keys accessKeyId and secretAccessKey of Secret minio: create it"
    assert asked in decision.message
