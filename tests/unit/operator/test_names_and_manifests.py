"""Names and manifests of children: legal for every legal owner, safe, and as small as they must be."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_api.group import Kind, Label, Step
from finetune_api.orders import ORDER_VARIABLE, parse_order
from finetune_operator.digests import child_name, evaluation_name, event_name, model_name
from finetune_operator.manifests.jobs import threads
from finetune_operator.projections import owned_by_labels
from finetune_operator.views import Owned

from .building import DIGEST, OTHER_DIGEST, Raw, comparison, evaluation, fine_tune_job, uid_of
from .comparisons import evaluating, preparing
from .deciding import decide, told
from .outcomes import (
    as_served,
    comparison_prepared,
    evaluation_succeeded,
    evaluations_of,
    prepare_done,
    succeeded,
    train_done,
)
from .test_evaluation_plan import prepare_done as evaluation_prepared

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")

legal_names = (
    st.from_regex(SUBDOMAIN, fullmatch=True).map(lambda name: name[:200].rstrip("-.")).filter(SUBDOMAIN.fullmatch)
)
uids = st.uuids().map(str)
digests = st.text("0123456789abcdef", min_size=16, max_size=16)


@given(name=legal_names, step=st.sampled_from(Step), uid=uids, run=digests, attempt=st.integers(1, 10_000))
def test_a_job_has_a_legal_name_whatever_its_owner_is_called(
    name: str, step: Step, uid: str, run: str, attempt: int
) -> None:
    made = child_name(name, step, uid, run, attempt)
    assert LABEL.fullmatch(made)
    assert len(made) <= 63


@given(name=legal_names, uid=uids, run=digests)
def test_a_model_and_an_event_have_legal_names(name: str, uid: str, run: str) -> None:
    assert LABEL.fullmatch(model_name(name, uid, run))
    assert len(model_name(name, uid, run)) <= 63
    event = event_name(name, uid, run)
    assert SUBDOMAIN.fullmatch(event)
    assert len(event) <= 253


@given(st.lists(st.tuples(uids, digests, st.integers(1, 50)), min_size=2, max_size=20, unique=True))
def test_names_of_different_attempts_runs_and_owners_differ(attempts: list[tuple[str, str, int]]) -> None:
    names = {child_name("tuned", Step.TRAIN, uid, run, attempt) for uid, run, attempt in attempts}
    assert len(names) == len(attempts)


def test_names_are_always_the_same() -> None:
    assert child_name("llama-eps", Step.TRAIN, "u", "r", 1) == child_name("llama-eps", Step.TRAIN, "u", "r", 1)
    assert evaluation_name(DIGEST) == "eval-0123456789abcdef"


@settings(deadline=None, max_examples=50)
@given(name=legal_names)
def test_labels_of_children_are_legal_and_read_back(name: str) -> None:
    body = fine_tune_job(name, metadata={"uid": "6f2d7b1e-0000-4000-8000-000000000000"})
    (job,) = decide(body).created
    labels = job["metadata"]["labels"]
    assert all(LABEL_VALUE.fullmatch(value) and len(value) <= 63 for value in labels.values())
    assert labels == job["spec"]["template"]["metadata"]["labels"]
    owned = owned_by_labels(labels)
    assert owned == Owned(
        Kind.FINE_TUNE_JOB, labels[Label.OWNER_NAME], uid_of(body), labels[Label.RUN], Step.PREPARE, 1
    )


def train_job(**spec: Any) -> Raw:
    job = told(fine_tune_job(**spec))
    (made,) = decide(job, *prepare_done(job)).created
    return made


def evaluate_job() -> Raw:
    body = told(evaluation())
    (made,) = decide(body, *evaluation_prepared(body)).created
    return made


def prepare_of_a_comparison() -> Raw:
    _, job, model = preparing()
    (made,) = decide(comparison(), job, model).created
    return made


def compare_job() -> Raw:
    there, *others, base, tuned = evaluating()
    done = (evaluation_succeeded(base), evaluation_succeeded(tuned, OTHER_DIGEST))
    (made,) = decide(there, *others, *done).created
    return made


JOBS = {
    "prepare of a FineTuneJob": lambda: decide(fine_tune_job()).created[0],
    "train": train_job,
    "prepare of an Evaluation": lambda: decide(evaluation()).created[0],
    "evaluate": evaluate_job,
    "prepare of a Comparison": prepare_of_a_comparison,
    "compare": compare_job,
}


@pytest.fixture(params=list(JOBS.values()), ids=list(JOBS))
def job(request: pytest.FixtureRequest) -> Raw:
    made: Raw = request.param()
    return made


def pod_of(job: Raw) -> Raw:
    pod: Raw = job["spec"]["template"]["spec"]
    return pod


def container_of(job: Raw) -> Raw:
    (container,) = pod_of(job)["containers"]
    found: Raw = container
    return found


def test_a_job_runs_one_pod_once(job: Raw) -> None:
    spec = job["spec"]
    assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (0, 1, 1)
    assert pod_of(job)["restartPolicy"] == "Never"
    assert "suspend" not in spec, "Kueue, or a person, says"
    assert "ttlSecondsAfterFinished" not in spec


def test_a_preempted_or_stopped_pod_comes_back_inside_its_job(job: Raw) -> None:
    disrupted, stopped = job["spec"]["podFailurePolicy"]["rules"]
    assert disrupted == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert stopped["onExitCodes"] == {"containerName": container_of(job)["name"], "operator": "In", "values": [4]}
    assert stopped["action"] == "Ignore"


def test_a_job_is_owned_without_holding_up_the_deletion(job: Raw) -> None:
    (owner,) = job["metadata"]["ownerReferences"]
    assert owner["controller"] is True
    assert "blockOwnerDeletion" not in owner


def test_a_pod_passes_the_restricted_standard(job: Raw) -> None:
    security = pod_of(job)["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] != 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container_of(job)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod_of(job).keys()
    kinds = {kind for volume in pod_of(job)["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"persistentVolumeClaim", "configMap", "emptyDir"}


def test_a_pod_knows_no_api_server(job: Raw) -> None:
    assert pod_of(job)["automountServiceAccountToken"] is False
    assert pod_of(job)["enableServiceLinks"] is False
    assert "serviceAccountName" not in pod_of(job)


def test_inputs_are_read_only_and_only_artifacts_are_written(job: Raw) -> None:
    mounts = container_of(job)["volumeMounts"]
    written = [mount["mountPath"] for mount in mounts if not mount.get("readOnly")]
    assert sorted(written) == ["/artifacts", "/tmp"]
    assert {mount["name"] for mount in mounts} == {volume["name"] for volume in pod_of(job)["volumes"]}
    paths = [mount["mountPath"] for mount in mounts]
    assert len(paths) == len(set(paths))


def test_the_order_reads_back_and_lies_where_it_is_mounted(job: Raw) -> None:
    variables = {item["name"]: item.get("value") for item in container_of(job)["env"]}
    order = parse_order(variables[ORDER_VARIABLE])
    assert order.to_json() == variables[ORDER_VARIABLE]
    mounted = [mount["mountPath"] for mount in container_of(job)["volumeMounts"]]
    assert order.directory.startswith("/artifacts/research/")
    volumes = re.findall(r'"volume":"([^"]+)"', variables[ORDER_VARIABLE])
    assert all(volume in mounted for volume in volumes)


def test_requests_are_limits(job: Raw) -> None:
    resources = container_of(job)["resources"]
    assert resources["requests"] == resources["limits"]
    assert {"cpu", "memory"} <= resources["limits"].keys()


def test_the_stop_leaves_time_for_a_checkpoint(job: Raw) -> None:
    assert pod_of(job)["terminationGracePeriodSeconds"] >= 60
    assert container_of(job)["terminationMessagePolicy"] == "File"


def test_what_the_spec_says_of_the_workload_reaches_the_pod_that_computes() -> None:
    made = train_job(
        resources={
            "gpus": 2,
            "cpu": "6",
            "memory": "48Gi",
            "nodeSelector": {"nvidia.com/gpu.product": "A100"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        },
        priorityClassName="research",
        imagePullSecrets=[{"name": "registry"}],
        artifacts={"persistentVolumeClaim": {"claimName": "results"}},
    )
    pod = pod_of(made)
    assert container_of(made)["resources"]["limits"] == {"cpu": "6", "memory": "48Gi", "nvidia.com/gpu": "2"}
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "A100"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert (pod["priorityClassName"], pod["imagePullSecrets"]) == ("research", [{"name": "registry"}])
    assert {"name": "artifacts", "persistentVolumeClaim": {"claimName": "results"}} in pod["volumes"]
    assert {"name": "OMP_NUM_THREADS", "value": "6"} in container_of(made)["env"]


def test_a_claim_can_be_read_from_and_written_to_by_the_same_pod() -> None:
    made = train_job(artifacts={"persistentVolumeClaim": {"claimName": "models"}})
    mounts = {mount["mountPath"]: mount for mount in container_of(made)["volumeMounts"]}
    assert "readOnly" not in mounts["/artifacts"]
    assert mounts["/inputs/claims/models"]["readOnly"] is True


PLACED: dict[str, Any] = {
    "gpus": 1,
    "nodeSelector": {"pool": "research"},
    "tolerations": [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "dedicated", "operator": "Equal", "value": "research", "effect": "NoExecute", "tolerationSeconds": 600},
    ],
}


def test_selector_and_tolerations_reach_all_pods_with_gpus_also_those_that_follow_by_themselves() -> None:
    there, *others = succeeded(fine_tune_job(resources=PLACED, evaluation={"suite": {"builtin": "finance"}}))
    train = train_job(resources=PLACED)
    (follow_up,) = (as_served(body) for body in decide(there, *others).made(Kind.COMPARISON))
    comparing = told(follow_up, there, *others)
    evaluations = evaluations_of(comparing, there, *others, *comparison_prepared(comparing))
    assert len(evaluations) == 2
    pods = [pod_of(train)]
    for made in evaluations:
        begun = told(made, *others)
        (job,) = decide(begun, *others, *evaluation_prepared(begun)).created
        pods.append(pod_of(job))
    assert all(pod["tolerations"] == PLACED["tolerations"] for pod in pods)
    assert all(pod["nodeSelector"] == PLACED["nodeSelector"] for pod in pods)


CPUS = [("8", 8), ("1500m", 2), ("500m", 1), ("0.5", 1), ("2.9", 3), ("16000m", 16)]


@pytest.mark.parametrize(("cpu", "number"), CPUS)
def test_threads_are_as_many_as_the_cpus_keep_busy(cpu: str, number: int) -> None:
    assert threads(cpu) == number


def test_the_largest_legal_spec_makes_a_job_that_the_api_server_takes() -> None:
    """An environment variable may have 128 KiB, an object 1.5 MiB."""
    path = "/".join(["x" * 100] * 10)
    made = train_job(
        baseModel={"persistentVolumeClaim": {"claimName": "c" * 250, "path": path}},
        lora={"targetModules": [f"{number:0128}" for number in range(32)]},
        resources={"tolerations": [{"key": "k" * 63, "operator": "Exists"}] * 16, "nodeSelector": selector()},
    )
    variables = {item["name"]: item.get("value") for item in container_of(made)["env"]}
    assert len(variables[ORDER_VARIABLE]) < 128 * 1024
    assert len(json.dumps(made)) < 1024 * 1024


def selector() -> dict[str, str]:
    return {f"label-{number}": "v" * 63 for number in range(32)}


def test_a_model_keeps_its_whole_lineage() -> None:
    body = told(fine_tune_job(training={"seed": 7}, lora={"rank": 4}))
    job, *_ = succeeded(fine_tune_job(training={"seed": 7}, lora={"rank": 4}))
    assert uid_of(body) == uid_of(job)
    children = (*prepare_done(job), *train_done(job))
    (model,) = decide({**job, "status": {"observedGeneration": -1}}, *children).created
    spec = model["spec"]
    assert spec["baseModel"] == {"source": job["spec"]["baseModel"], "digest": DIGEST}
    assert (spec["dataset"], spec["seed"]) == ({"digest": DIGEST}, 7)
    assert (spec["parameters"]["lora"]["rank"], spec["parameters"]["method"]) == (4, "lora")
    assert spec["image"] == "registry.example/trainer:1"
