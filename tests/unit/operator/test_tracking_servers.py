"""Where a training's curves may go, by which address, and what the pod shows there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_api.orders import TrainOrder
from finetune_operator.manifests.servers import address
from finetune_operator.settings import ListedServer

from .building import SETTINGS, Raw, container, edited, fine_tune_job, job_of, on_node, pod_of
from .deciding import decide, order_of, told
from .outcomes import prepare_done, training

LISTED = (ListedServer("wandb.example.com", "https"), ListedServer("mlflow.example.com", port=5000))


@pytest.mark.parametrize(
    ("server", "reached_by"),
    [
        ("http://mlflow", "http://mlflow.research.svc"),
        ("http://mlflow:5000", "http://mlflow.research.svc:5000"),
        ("http://mlflow.tracking:5000/base", "http://mlflow.tracking.svc:5000/base"),
        ("http://MLflow.Tracking", "http://mlflow.tracking.svc"),
        ("https://mlflow.tracking.svc:8443", "https://mlflow.tracking.svc:8443"),
        ("http://mlflow.tracking.svc.cluster.local", "http://mlflow.tracking.svc.cluster.local"),
        ("http://mlflow.tracking.svc.cluster.local./x", "http://mlflow.tracking.svc.cluster.local./x"),
        # What looks like a Service stays one: nobody outside is asked.
        ("https://wandb.ai", "https://wandb.ai.svc"),
        ("http://localhost:5000", "http://localhost.research.svc:5000"),
    ],
)
def test_a_service_of_the_cluster_is_asked_of_the_cluster_alone(server: str, reached_by: str) -> None:
    assert address(server, "research", ()) == reached_by


OUTSIDE = [
    "https://api.wandb.ai",
    "https://wandb.example.com",
    "http://mlflow.tracking.svc.evil.com",
    "http://mlflow.tracking.svc.cluster.local.evil.com",
    "http://evil-svc.cluster.local.com",
    "http://mlflow.svc@evil.com",
    "http://evil.com\\@mlflow.tracking.svc",
    "http://mlflow.tracking.svc:80@evil.com",
    "http://mlflow.tracking.svc:99999",
    "http://mlflow.tracking.svc:0",
    "http://10.0.0.7:5000",
    "http://8.8",
    "http://134744072",
    "http://0x08080808",
    "http://[::1]:5000",
    "http://.svc",
    "http://a..svc",
    "ftp://mlflow.tracking.svc",
    "http://mlflow tracking.svc",
    "http://mlflow.tracking.svc\n",
    "",
]


@pytest.mark.parametrize("server", OUTSIDE)
def test_what_leads_out_of_the_cluster_is_refused(server: str) -> None:
    assert address(server, "research", ()) is None


@given(st.from_regex(r"https?://([a-z0-9-]{1,8}\.){2,4}[a-z]{2,6}(:[1-9][0-9]{0,3})?(/[a-z]{1,4})?", fullmatch=True))
def test_a_host_of_three_parts_or_more_is_either_a_service_or_refused(server: str) -> None:
    host = server.split("//")[1].split("/")[0].split(":")[0]
    if address(server, "research", ()) is not None:
        assert host.endswith((".svc", ".svc.cluster.local"))


@pytest.mark.parametrize(
    ("server", "is_allowed"),
    [
        ("https://wandb.example.com", True),
        ("https://wandb.example.com:443/team", True),
        ("https://WANDB.example.com", True),
        ("http://wandb.example.com", False),
        ("https://wandb.example.com:8443", False),
        ("https://wandb.example.com.evil.com", False),
        ("https://evil-wandb.example.com", False),
        ("https://wandb.example.com@evil.com", False),
        ("http://mlflow.example.com:5000", True),
        ("https://mlflow.example.com:5000", True),
        ("https://mlflow.example.com", False),
        ("http://mlflow.tracking.svc", True),
    ],
)
def test_a_listed_server_is_allowed_as_it_was_listed(server: str, is_allowed: bool) -> None:
    assert address(server, "research", LISTED) == (server if is_allowed else None)


# What becomes of the job

WANDB = {"wandb": {"server": "https://wandb.example.com", "apiKeySecret": {"name": "wandb", "key": "api-key"}}}
LISTING = replace(SETTINGS, tracking_servers=LISTED)


def test_a_server_outside_the_cluster_ends_the_job_before_any_work() -> None:
    decision = decide(fine_tune_job(tracking=WANDB))
    assert (decision.phase, decision.reason) == ("Failed", Reason.TRACKING_SERVER_NOT_ALLOWED)
    assert decision.created == []
    assert decision.message.startswith("spec.tracking.wandb.server: https://wandb.example.com leads out of the cluster")
    assert "trackingServers in the chart's values" in decision.message
    assert decision.holds["Validated"] == "False"


def test_it_is_taken_up_again_with_a_server_of_the_cluster() -> None:
    mended = edited(told(fine_tune_job(tracking=WANDB)), tracking={"wandb": {"server": "http://wandb.tracking"}})
    assert [step for step, _ in decide(mended).jobs] == ["prepare"]


def test_a_server_that_the_administrator_lists_is_spoken_to() -> None:
    job = told(fine_tune_job(tracking=WANDB | {}), settings=LISTING)
    (made,) = decide(job, *prepare_done(job), settings=LISTING).created
    order = order_of(made)
    assert isinstance(order, TrainOrder) and order.tracking is not None and order.tracking.wandb is not None
    assert order.tracking.wandb.server == "https://wandb.example.com"


def test_a_training_that_runs_is_left_alone_when_the_server_is_edited() -> None:
    job, *children = training(fine_tune_job())
    decision = decide(edited(job, tracking=WANDB), *children)
    assert (decision.phase, decision.deleted, decision.jobs) == ("Training", [], [])


# What the pod shows there

MLFLOW = {"mlflow": {"server": "http://mlflow.tracking", "tokenSecret": {"name": "mlflow", "key": "token"}}}


def environment(manifest: Raw) -> list[Raw]:
    (found,) = manifest["spec"]["template"]["spec"]["containers"]
    environment: list[Raw] = found["env"]
    return environment


def secrets_of(manifest: Raw) -> Raw:
    sources = {item["name"]: item.get("valueFrom", {}) for item in environment(manifest)}
    return {name: source["secretKeyRef"] for name, source in sources.items() if "secretKeyRef" in source}


@pytest.mark.parametrize(
    ("tracking", "variable", "secret"),
    [
        (MLFLOW, "MLFLOW_TRACKING_TOKEN", {"name": "mlflow", "key": "token"}),
        (WANDB, "WANDB_API_KEY", {"name": "wandb", "key": "api-key"}),
    ],
)
def test_the_training_alone_gets_the_secret(tracking: dict[str, Any], variable: str, secret: dict[str, str]) -> None:
    job = fine_tune_job(tracking=tracking)
    (prepare,) = decide(job, settings=LISTING).created
    assert not secrets_of(prepare)
    job = told(job, settings=LISTING)
    (train,) = decide(job, *prepare_done(job), settings=LISTING).created
    assert secrets_of(train) == {variable: secret}


@pytest.mark.parametrize("tracking", [None, {"mlflow": {}}, {"wandb": {}}, {"mlflow": {"server": "http://mlflow"}}])
def test_without_a_secret_there_is_none_in_the_pod(tracking: dict[str, Any] | None) -> None:
    job = told(fine_tune_job(**({"tracking": tracking} if tracking is not None else {})))
    (train,) = decide(job, *prepare_done(job)).created
    assert not secrets_of(train)


NOT_THERE = ['secret "mlflow" not found', "couldn't find key token in Secret research/mlflow"]


@pytest.mark.parametrize("words", NOT_THERE)
def test_a_secret_that_is_missing_is_told_with_the_field_that_names_it(words: str) -> None:
    job, *children = waiting_for_the_secret(words)
    decision = decide(job, *children)
    assert (decision.phase, decision.reason) == ("Queued", Reason.POD_REFUSED)
    assert words in decision.message
    assert "spec.tracking.mlflow.tokenSecret asks for key token of Secret mlflow: create it" in decision.message


def test_a_secret_that_was_misspelt_is_corrected_by_an_edit() -> None:
    job, *children = waiting_for_the_secret(NOT_THERE[0])
    *prepare, train, _ = children
    right = {"mlflow": MLFLOW["mlflow"] | {"tokenSecret": {"name": "mlflow-token", "key": "token"}}}
    mended = edited(told(job, *children), tracking=right)
    assert decide(mended, *children).deleted == [train["metadata"]["name"]]
    (made,) = decide(told(mended, *children), *prepare).created
    assert [reference["name"] for reference in secrets_of(made).values()] == ["mlflow-token"]


def waiting_for_the_secret(words: str) -> tuple[Raw, ...]:
    job = told(fine_tune_job(tracking=MLFLOW))
    prepare = prepare_done(job)
    train = job_of(job, Step.TRAIN)
    waiting = {"reason": "CreateContainerConfigError", "message": words}
    pod = on_node(pod_of(train, containerStatuses=[container(waiting=waiting)]))
    return told(job, *prepare), *prepare, train, pod
