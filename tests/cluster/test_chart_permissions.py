"""What the chart's roles allow on a real API server, and that it lets the operator's pod in."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from localcluster import Cluster

RELEASE = "second"
ACCOUNT = "second-finetune-operator"
VALUES = {
    "image": {"repository": "absent", "tag": "none", "pullPolicy": "Never"},
    "trainerImage": {"repository": "absent", "tag": "none"},
    "clusterResources": False,
}
READ = ("get", "list", "watch")
OUR_KINDS = ("finetunejobs", "evaluations", "comparisons", "finetunedmodels")
PERMISSIONS = {
    *((kind, verb) for kind in OUR_KINDS for verb in READ),
    *((f"{kind}/status", "patch") for kind in OUR_KINDS),
    *((kind, "create") for kind in OUR_KINDS),
    *((kind, verb) for kind in ("finetunejobs", "evaluations") for verb in ("patch", "delete")),
    *(("jobs", verb) for verb in (*READ, "create", "patch", "delete")),
    *(("pods", verb) for verb in ("list", "watch")),
    ("pods/log", "get"),
    *(("events", verb) for verb in ("list", "watch", "create")),
    *((kind, verb) for kind in ("services", "configmaps") for verb in ("get", "create")),
}


@pytest.fixture
def release(custom_resources: Cluster, namespace: str) -> Iterator[str]:
    """A release that serves its own namespace only, beside whatever else is installed in the cluster."""
    values = json.dumps({**VALUES, "watchNamespaces": [namespace]})
    chart = str(custom_resources.checkout.root / "helm" / "finetune-operator")
    custom_resources.helm(
        "install", RELEASE, chart, "--namespace", namespace, "--values", "-", input=values, capture_output=True
    )
    yield namespace
    custom_resources.helm("uninstall", RELEASE, "--namespace", namespace, capture_output=True)


def permissions(cluster: Cluster, account: str, namespace: str) -> set[tuple[str, str]]:
    """Resource and verb of all that an account may do to the objects of a namespace, as the API server says."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    answer = cluster.kubectl(
        "create",
        "--validate=false",
        "-f",
        "-",
        "-o",
        "json",
        "--as",
        account,
        input=json.dumps(review),
        capture_output=True,
    )
    return {
        (resource, verb)
        for rule in json.loads(answer.stdout)["status"]["resourceRules"]
        if not rule["apiGroups"][0].endswith(".k8s.io")  # what every account may do: ask who it is, and what it may
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_a_namespaced_release_may_do_its_work_there_and_nothing_elsewhere(cluster: Cluster, release: str) -> None:
    account = f"system:serviceaccount:{release}:{ACCOUNT}"
    assert permissions(cluster, account, release) == PERMISSIONS
    assert permissions(cluster, account, "default") == set()


def test_the_operators_pod_is_let_into_a_restricted_namespace(custom_resources: Cluster, namespace: str) -> None:
    chart = str(custom_resources.checkout.root / "helm" / "finetune-operator")
    rendered = custom_resources.helm(
        "template", RELEASE, chart, "--kube-version", "1.34.0", "--show-only", "templates/deployment.yaml",
        "--values", "-", input=json.dumps(VALUES), capture_output=True,
    ).stdout  # fmt: skip
    template = yaml.safe_load(rendered)["spec"]["template"]
    del template["spec"]["serviceAccountName"]
    assert apply_pod(custom_resources, namespace, template).returncode == 0
    template["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] = False
    template["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    refused = apply_pod(custom_resources, namespace, template)
    assert 'violates PodSecurity "restricted' in refused.stderr


def apply_pod(cluster: Cluster, namespace: str, template: dict[str, object]) -> subprocess.CompletedProcess[str]:
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] = {"name": "operator", "namespace": namespace}
    return cluster.kubectl(
        "apply", "--dry-run=server", "-f", "-", input=json.dumps(pod), check=False, capture_output=True
    )
