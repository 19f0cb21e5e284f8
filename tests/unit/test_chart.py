"""The chart renders what a cluster's administrator expects, and refuses values that make no sense."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from finetune_operator.settings import KueueSettings, ListedServer, settings_from_environment
from localcluster import ClusterError, toolchain
from localcluster.locations import Cache, Checkout

Document = dict[str, Any]
Values = dict[str, Any]

ROOT = Checkout.of_this_package().root
CHART = ROOT / "helm" / "finetune-operator"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
IMAGES: Values = {
    "image": {"repository": "registry.example:5000/operator", "tag": "1"},
    "trainerImage": {"repository": "registry.example:5000/trainer", "tag": "2"},
}
DIGEST = "sha256:" + "0123456789abcdef" * 4
OUR_KINDS = ["finetunejobs", "evaluations", "comparisons", "finetunedmodels"]
OPERATOR_RULES = [
    {"apiGroups": ["finetune.dev"], "resources": OUR_KINDS, "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["finetune.dev"], "resources": [f"{kind}/status" for kind in OUR_KINDS], "verbs": ["patch"]},
    {
        "apiGroups": ["finetune.dev"],
        "resources": ["finetunejobs", "finetunedmodels", "comparisons", "evaluations"],
        "verbs": ["create"],
    },
    {"apiGroups": ["finetune.dev"], "resources": ["finetunejobs", "evaluations"], "verbs": ["patch", "delete"]},
    {
        "apiGroups": ["batch"],
        "resources": ["jobs"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    },
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch", "create"]},
    {"apiGroups": [""], "resources": ["services", "configmaps"], "verbs": ["get", "create"]},
]
KUEUE_RULE = {"apiGroups": ["kueue.x-k8s.io"], "resources": ["workloads"], "verbs": ["list", "watch", "patch"]}
NODES_RULE = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}
GPU_CLASS = {"product": "NVIDIA-A100-SXM4-80GB", "memoryMiB": 81920, "gpusPerNode": 8, "nodes": 2, "shared": False}


@dataclass(frozen=True)
class Rendered:
    """What `helm install` would send to the API server."""

    documents: tuple[Document, ...]

    def of(self, kind: str) -> list[Document]:
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str) -> Document:
        (document,) = self.of(kind)
        return document

    @property
    def pod(self) -> Document:
        pod: Document = self.one("Deployment")["spec"]["template"]["spec"]
        return pod

    @property
    def container(self) -> Document:
        (container,) = self.pod["containers"]
        found: Document = container
        return found

    @property
    def environment(self) -> dict[str, str]:
        return {variable["name"]: variable["value"] for variable in self.container["env"]}


Helm = Callable[..., "subprocess.CompletedProcess[str]"]
Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def helm() -> Helm:
    try:
        command = toolchain.find(Checkout.of_this_package(), Cache.of_user()).helm
    except ClusterError:
        pytest.fail("helm is not built yet: run `make prepare` first")

    def run(*arguments: str, values: Values) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, *arguments, "--values", "-"],
            input=json.dumps(values),
            text=True,
            capture_output=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def template(helm: Helm) -> Callable[[Values], subprocess.CompletedProcess[str]]:
    where = ("finetune-operator", str(CHART), "--namespace", "finetune-system", "--kube-version", "1.34.0")
    return lambda values: helm("template", *where, values=values)


@pytest.fixture(scope="session")
def render(template: Callable[[Values], subprocess.CompletedProcess[str]]) -> Render:
    def rendered(**values: Any) -> Rendered:
        outcome = template({**IMAGES, **values})
        assert outcome.returncode == 0, outcome.stderr
        return Rendered(tuple(document for document in yaml.safe_load_all(outcome.stdout) if document))

    return rendered


@pytest.fixture(scope="session")
def default(render: Render) -> Rendered:
    return render()


def test_the_chart_is_lint_free(helm: Helm) -> None:
    outcome = helm("lint", "--strict", str(CHART), values=IMAGES)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize("value", ["image", "trainerImage"])
def test_an_image_that_was_not_named_is_asked_for(
    template: Callable[[Values], subprocess.CompletedProcess[str]], value: str
) -> None:
    outcome = template({key: image for key, image in IMAGES.items() if key != value})
    assert outcome.returncode != 0
    assert f"{value}.repository is required: name the repository that you pushed the image to" in outcome.stderr


def test_no_role_has_a_wildcard_or_reads_secrets(default: Rendered) -> None:
    rules = [rule for role in default.of("ClusterRole") for rule in role["rules"]]
    words = {word for rule in rules for value in rule.values() for word in value}
    assert rules
    assert not {word for word in words if "*" in word or word.startswith("secrets")}


def rules_of_the_operator(rendered: Rendered) -> list[Document]:
    """Those that hold in the whole cluster."""
    name = rendered.one("ClusterRoleBinding")["roleRef"]["name"]
    (role,) = [role for role in rendered.of("ClusterRole") if role["metadata"]["name"] == name]
    rules: list[Document] = role["rules"]
    return rules


def test_the_operator_may_do_exactly_what_it_needs(default: Rendered) -> None:
    binding = default.one("ClusterRoleBinding")
    assert rules_of_the_operator(default) == [*OPERATOR_RULES, NODES_RULE]
    account = default.one("ServiceAccount")["metadata"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account["name"], "namespace": "finetune-system"}]
    assert default.pod["serviceAccountName"] == account["name"]


def test_watched_namespaces_are_the_only_ones_with_permissions(render: Render) -> None:
    rendered = render(watchNamespaces=["research", "risk"])
    roles = {role["metadata"]["namespace"]: role["rules"] for role in rendered.of("Role")}
    assert roles == {"research": OPERATOR_RULES, "risk": OPERATOR_RULES}
    bindings = rendered.of("RoleBinding")
    assert [binding["metadata"]["namespace"] for binding in bindings] == ["research", "risk"]
    assert all(binding["subjects"][0]["namespace"] == "finetune-system" for binding in bindings)
    assert rendered.of("ClusterRoleBinding") == []
    assert rendered.environment["FINETUNE_NAMESPACES"] == "research,risk"


def test_gpus_that_are_given_leave_no_reason_to_look_at_nodes(render: Render) -> None:
    rendered = render(gpuClasses=[GPU_CLASS])
    assert rules_of_the_operator(rendered) == OPERATOR_RULES
    (given,) = settings_from_environment(rendered.environment).gpu_classes
    assert given.model_dump(by_alias=True) == GPU_CLASS


def test_a_gpu_class_needs_only_a_product_and_its_memory(render: Render) -> None:
    rendered = render(watchNamespaces=["risk"], gpuClasses=[{"product": "Tesla-T4", "memoryMiB": 15360}])
    settings = settings_from_environment(rendered.environment)
    assert [(item.product, item.memory_mib, item.gpus_per_node) for item in settings.gpu_classes] == [
        ("Tesla-T4", 15360, 1)
    ]
    assert not settings.watches_nodes


def test_kueues_workloads_are_touched_only_where_the_chart_says_so(default: Rendered, render: Render) -> None:
    assert settings_from_environment(default.environment).kueue == KueueSettings()
    rendered = render(kueue={"enabled": True, "cpuSteps": True, "priorityBoost": True})
    assert rules_of_the_operator(rendered) == [*OPERATOR_RULES, KUEUE_RULE, NODES_RULE]
    assert settings_from_environment(rendered.environment).kueue == KueueSettings(True, True, True)
    (role,) = render(watchNamespaces=["risk"], kueue={"enabled": True}).of("Role")
    assert role["rules"] == [*OPERATOR_RULES, KUEUE_RULE]


def test_no_server_outside_the_cluster_may_be_spoken_to_unless_it_is_listed(default: Rendered, render: Render) -> None:
    assert settings_from_environment(default.environment).tracking_servers == ()
    rendered = render(trackingServers=["https://wandb.example.com", "mlflow.example.com:5000"])
    assert settings_from_environment(rendered.environment).tracking_servers == (
        ListedServer("wandb.example.com", scheme="https"),
        ListedServer("mlflow.example.com", port=5000),
    )


def test_a_second_release_can_leave_the_clusters_resources_alone(render: Render) -> None:
    kinds = {document["kind"] for document in render(watchNamespaces=["risk"], clusterResources=False).documents}
    assert kinds == {"ServiceAccount", "Role", "RoleBinding", "Deployment", "Service"}


def test_prometheus_finds_the_metrics_behind_a_service(default: Rendered) -> None:
    assert default.one("Service")["metadata"]["name"] == "finetune-operator-metrics"
    service, pod = default.one("Service")["spec"], default.one("Deployment")["spec"]["template"]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    (port,) = service["ports"]
    assert (port["name"], port["port"]) == ("metrics", 8080)
    assert port["targetPort"] in [known["name"] for known in default.container["ports"]]
    assert service.get("type", "ClusterIP") == "ClusterIP"


def test_a_service_monitor_is_made_only_where_it_is_asked_for(default: Rendered, render: Render) -> None:
    assert default.of("ServiceMonitor") == []
    rendered = render(serviceMonitor={"enabled": True, "intervalSeconds": 15, "labels": {"release": "prometheus"}})
    monitor, service = rendered.one("ServiceMonitor"), rendered.one("Service")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["metadata"]["namespace"] == service["metadata"]["namespace"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {"port": "metrics", "path": "/metrics", "interval": "15s", "honorLabels": True}
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]


def test_namespace_roles_reach_our_kinds(default: Rendered) -> None:
    roles = {role["metadata"]["name"]: role for role in default.of("ClusterRole")}
    aggregated = "rbac.authorization.k8s.io/aggregate-to-"
    view, edit = roles["finetune-operator-view"], roles["finetune-operator-edit"]
    assert {f"{aggregated}{role}" for role in ("view", "edit", "admin")} <= view["metadata"]["labels"].keys()
    assert f"{aggregated}view" not in edit["metadata"]["labels"]
    writable = {(kind, verb) for rule in edit["rules"] for kind in rule["resources"] for verb in rule["verbs"]}
    assert {("finetunejobs", "create"), ("comparisons", "patch"), ("finetunedmodels", "delete")} <= writable
    assert ("finetunedmodels", "create") not in writable
    assert not {kind for kind, _ in writable if kind.endswith("/status")}


def test_the_pod_passes_the_restricted_standard(default: Rendered) -> None:
    assert default.pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert default.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [set(volume) - {"name"} for volume in default.pod["volumes"]] == [{"emptyDir"}]
    assert default.container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & default.pod.keys()


def test_there_is_never_a_second_operator(default: Rendered) -> None:
    deployment = default.one("Deployment")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}


def test_the_pod_asks_for_resources_and_is_probed(default: Rendered) -> None:
    for amounts in ("requests", "limits"):
        assert default.container["resources"][amounts].keys() == {"cpu", "memory"}
    paths = {name: default.container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")}
    assert paths == {"livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    (port,) = default.container["ports"]
    assert default.container["livenessProbe"]["httpGet"]["port"] == port["name"]
    assert default.environment["FINETUNE_PROBE_PORT"] == str(port["containerPort"])


def test_a_digest_pins_the_image_whatever_the_tag_says(render: Render) -> None:
    rendered = render(image={"repository": "registry.example/operator", "tag": "1", "digest": DIGEST})
    assert rendered.container["image"] == f"registry.example/operator@{DIGEST}"


def test_an_image_without_a_tag_is_the_charts_version(render: Render) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert render(image={"repository": "operator"}).container["image"] == f"operator:{version}"


def test_the_operator_reads_the_values_as_they_were_written(render: Render) -> None:
    rendered = render(
        watchNamespaces=["research"],
        artifactsClaim="results",
        stepResources={"cpu": "500m", "memory": "1Gi"},
        progressIntervalSeconds=7,
        resyncSeconds=3600,
        workers=4,
        trainerImage={"repository": "trainer", "digest": DIGEST, "pullPolicy": "Always"},
    )
    settings = settings_from_environment(rendered.environment)
    assert settings.trainer_image == f"trainer@{DIGEST}"
    assert settings.trainer_image_pull_policy == "Always"
    assert settings.namespaces == ("research",)
    assert settings.default_artifacts_claim == "results"
    assert (settings.step_resources.cpu, settings.step_resources.memory) == ("500m", "1Gi")
    assert (settings.progress_interval_seconds, settings.resync_seconds, settings.workers) == (7.0, 3600.0, 4)


def test_where_and_how_the_pod_runs_can_be_chosen(render: Render) -> None:
    chosen: Values = {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "control-plane", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "priorityClassName": "system-cluster-critical",
        "imagePullSecrets": [{"name": "registry"}],
    }
    rendered = render(**chosen, podAnnotations={"team": "platform"})
    assert {name: rendered.pod[name] for name in chosen} == chosen
    assert rendered.one("Deployment")["spec"]["template"]["metadata"]["annotations"] == {"team": "platform"}


def test_the_definitions_are_the_committed_ones_and_are_kept(default: Rendered) -> None:
    committed = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    rendered = sorted(default.of("CustomResourceDefinition"), key=lambda document: document["metadata"]["name"])
    assert [document["metadata"]["name"] for document in rendered] == [
        document["metadata"]["name"] for document in committed
    ]
    assert [document["spec"] for document in rendered] == [document["spec"] for document in committed]
    for document in rendered:
        assert document["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


NONSENSE: dict[str, Values] = {
    "an unknown value": {"replicas": 2},
    "a misspelt value": {"watchNamespace": ["research"]},
    "an unknown part of a value": {"image": {"repository": "operator", "name": "x"}},
    "a tag inside the repository": {"image": {"repository": "registry.example/operator:1 "}},
    "a scheme before the repository": {"image": {"repository": "https://registry.example/operator"}},
    "a digest that is cut": {"image": {"repository": "operator", "digest": "sha256:0123"}},
    "a pull policy that does not exist": {"trainerImage": {"repository": "trainer", "pullPolicy": "Sometimes"}},
    "one namespace that is not in a list": {"watchNamespaces": "research"},
    "a namespace twice": {"watchNamespaces": ["research", "research"]},
    "a namespace that cannot be": {"watchNamespaces": ["Research"]},
    "no artifacts claim": {"artifactsClaim": ""},
    "no workers": {"workers": 0},
    "scrapes without a pause": {"serviceMonitor": {"intervalSeconds": 0}},
    "a time to scrape in words": {"serviceMonitor": {"interval": "30s"}},
    "a queue as a value": {"kueue": {"queueName": "research"}},
    "kueue in words": {"kueue": {"enabled": "yes"}},
    "half a worker": {"workers": 1.5},
    "a thousand workers": {"workers": 1000},
    "a progress that is never looked at": {"progressIntervalSeconds": 0},
    "an interval in words": {"resyncSeconds": "30s"},
    "cpu in words": {"stepResources": {"cpu": "one", "memory": "2Gi"}},
    "no cpu": {"stepResources": {"cpu": "0", "memory": "2Gi"}},
    "memory without a unit": {"stepResources": {"cpu": "1", "memory": "2"}},
    "no limits": {"resources": {"limits": {"cpu": "", "memory": ""}}},
    "a gpu without its memory": {"gpuClasses": [{"product": "Tesla-T4"}]},
    "a gpu with blanks in its name": {"gpuClasses": [{**GPU_CLASS, "product": "Tesla T4"}]},
    "gpu memory as a quantity": {"gpuClasses": [{**GPU_CLASS, "memoryMiB": "80Gi"}]},
    "gpu memory in gibibytes": {"gpuClasses": [{**GPU_CLASS, "memoryMiB": 80}]},
    "an unknown word about a gpu": {"gpuClasses": [{**GPU_CLASS, "mig": True}]},
    "one tracking server that is not in a list": {"trackingServers": "https://wandb.example.com"},
    "a tracking server with a path": {"trackingServers": ["https://wandb.example.com/team"]},
    "any tracking server": {"trackingServers": ["*"]},
    "two tracking servers in one": {"trackingServers": ["a.example.com,b.example.com"]},
    "a secret without a name": {"imagePullSecrets": [{}]},
    "a toleration for an effect that does not exist": {"tolerations": [{"key": "a", "effect": "NoShedule"}]},
    "an annotation that is no text": {"podAnnotations": {"team": 7}},
}


@pytest.mark.parametrize("values", NONSENSE.values(), ids=NONSENSE.keys())
def test_the_schema_refuses(template: Callable[[Values], subprocess.CompletedProcess[str]], values: Values) -> None:
    outcome = template({**IMAGES, **values})
    assert outcome.returncode != 0
    (named,) = values
    assert "values don't meet the specifications of the schema" in outcome.stderr
    assert named in outcome.stderr


def schema_nodes(schema: Document, path: str = "values") -> Iterator[tuple[str, Document]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from schema_nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from schema_nodes(schema["items"], f"{path}[]")


def is_bounded(node: Document) -> bool:
    bounds = {"string": {"maxLength"}, "integer": {"minimum", "maximum"}, "array": {"maxItems"}}
    return "enum" in node or bounds.get(node["type"], set()) <= node.keys()


def test_every_value_is_described_and_bounded() -> None:
    nodes = dict(schema_nodes(SCHEMA))
    assert [path for path, node in nodes.items() if not node.get("description")] == []
    assert [path for path, node in nodes.items() if not is_bounded(node)] == []


def test_the_schema_knows_every_value_that_there_is() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert SCHEMA["properties"].keys() - {"global"} == values.keys()
    assert SCHEMA["additionalProperties"] is False


def test_every_value_has_a_comment() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    values = [number for number, line in enumerate(lines) if line.split(":")[0] in SCHEMA["properties"]]
    assert [lines[number] for number in values if not lines[number - 1].startswith("#")] == []
