"""Datasets as they come and change: from a storage with a private authority, and with a person's decisions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import object_storage
import private_authority
import pytest

from cluster_names import served_names
from localcluster import node
from manifests import examples, fine_tune_job
from workbench import Json, Workbench, condition

BUCKET, KEY = "datasets", "earnings/train.jsonl"
QUIET = {"epochs": 1, "checkpointEverySteps": 5}


@pytest.fixture(scope="module")
def bench(shared_workbench: Workbench) -> Workbench:
    return shared_workbench


@pytest.fixture(scope="module")
def storage(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Service `storage` of the namespace, whose certificate an authority signed that only a ConfigMap tells of."""
    folder = tmp_path_factory.mktemp("storage") / "authority"
    address = node.load_plan(bench.cluster.checkout).host_address
    private_authority.sign(folder, f"storage.{bench.namespace}.svc", address)
    certificate = folder / private_authority.CERTIFICATE
    with served_names(bench.cluster), object_storage.serving(address, folder) as endpoint:
        _fill(endpoint, certificate, examples(24))
        port = int(endpoint.rpartition(":")[2])
        bench.apply(*_service(address, port), *_keys(certificate))
        yield f"https://storage:{port}"


def _fill(endpoint: str, certificate: Path, lines: list[str]) -> None:
    keys = {"aws_access_key_id": "owner", "aws_secret_access_key": "secret"}
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", verify=str(certificate), **keys)
    client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key=KEY, Body="".join(f"{line}\n" for line in lines).encode())


def _service(address: str, port: int) -> tuple[Json, Json]:
    ports = [{"name": "s3", "port": port, "protocol": "TCP"}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "storage"}, "spec": {"ports": ports}}
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "storage", "labels": {"kubernetes.io/service-name": "storage"}},
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [address]}],
    }
    return service, slice_


def _keys(certificate: Path) -> tuple[Json, Json]:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "reader"},
        "stringData": {"accessKeyId": "reader", "secretAccessKey": "secret"},
    }
    authority = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "authority"},
        "data": {"ca.crt": certificate.read_text()},
    }
    return secret, authority


def stored(endpoint: str, **changes: object) -> Json:
    authority = {"name": "authority", "key": "ca.crt"}
    given = {"endpoint": endpoint, "bucket": BUCKET, "key": KEY, "credentialsSecret": {"name": "reader"}}
    return {"s3": {**given, "caCertificate": authority, **changes}}


def job_of(name: str, dataset: Json) -> Json:
    job = fine_tune_job(name, training=QUIET)
    return {**job, "spec": {**job["spec"], "dataset": dataset}}


def test_a_dataset_in_the_clusters_object_storage_is_learnt_like_a_mounted_one(bench: Workbench, storage: str) -> None:
    bench.write("datasets", "train.jsonl", examples(24))
    bench.apply(job_of("stored", stored(storage)), fine_tune_job("mounted", training=QUIET))
    found = bench.wait_for_phase("finetunejob", "stored", "Succeeded")["dataset"]
    assert found["digest"] == bench.wait_for_phase("finetunejob", "mounted", "Succeeded")["dataset"]["digest"]
    (prepare,) = bench.pods_of("finetunejob", "stored", "prepare")
    (train,) = bench.pods_of("finetunejob", "stored", "train")
    assert "reader" in json.dumps(prepare["spec"]) and "reader" not in json.dumps(train["spec"])


def test_an_object_that_is_not_there_is_named(bench: Workbench, storage: str) -> None:
    bench.apply(job_of("astray", stored(storage, key="earnings/v9.jsonl")))
    complete = condition(bench.wait_for_phase("finetunejob", "astray", "Failed"), "Complete")
    assert complete["reason"] == "DatasetInvalid"
    assert "spec.dataset.s3.key: the bucket 'datasets' has no object 'earnings/v9.jsonl'" in complete["message"]


def test_a_storage_outside_the_cluster_is_refused_unless_it_is_listed(bench: Workbench, storage: str) -> None:
    bench.apply(job_of("outside", stored("https://s3.example.com")))
    complete = condition(bench.wait_for_phase("finetunejob", "outside", "Failed"), "Complete")
    assert complete["reason"] == "ObjectStoreNotAllowed"
    assert not bench.jobs_of("finetunejob", "outside")


def test_what_a_person_decided_about_the_review_is_applied_in_the_next_run(bench: Workbench) -> None:
    wrong = {"instruction": "What were the earnings per share?", "input": "It earned 2.31 dollars a share."}
    bench.write("datasets", "doubtful.jsonl", [*examples(24), json.dumps({**wrong, "output": "EPS: 7.77"})])
    bench.apply(fine_tune_job("reviewed", dataset="doubtful.jsonl", training=QUIET))
    before = bench.wait_for_phase("finetunejob", "reviewed", "Succeeded")["dataset"]
    review = (bench.volume("artifacts") / before["report"]["path"]).with_name("review.jsonl")
    (doubtful,) = [line for line in map(json.loads, review.read_text().splitlines()) if line["line"] == 25]
    decision = json.dumps({"id": doubtful["id"], "decision": "reject"})
    metadata, data = {"name": "decisions"}, {"decisions.jsonl": f"{decision}\n"}
    bench.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    decided = {"decisions": {"configMap": {"name": "decisions", "key": "decisions.jsonl"}}}
    bench.patch_spec("finetunejob", "reviewed", {"dataset": decided})

    def prepared_again() -> Json | None:
        status = bench.status("finetunejob", "reviewed")
        is_another = status.get("dataset", before)["digest"] != before["digest"]
        return status["dataset"] if is_another and status["phase"] == "Succeeded" else None

    after: Json = bench.wait_until(prepared_again, "a run with the decision")
    assert after["train"] + after["validation"] == before["train"] + before["validation"] - 1
