"""Every field of every spec that the API server takes another value of (`field_mutations`): it shows in the children or
in the status, an edit of it ends well, and taking the edit back brings the first state back."""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import field_mutations
from field_mutations import Mutation
from finetune_api.crds import NAME_LIMIT
from finetune_api.group import Kind
from finetune_operator.settings import ListedServer
from finetune_operator.views import MODELS

from .building import NAMESPACE, Raw, fine_tune_job, fine_tuned_model, resource
from .simulation.api_server import Change
from .simulation.world import DEFAULTS, World, story

LISTED = (ListedServer("minio.storage"), ListedServer("mlflow.tracking.svc"), ListedServer("mlflow.tracking"))
SETTINGS = replace(
    DEFAULTS,
    resync_seconds=40,
    relist_seconds=10**6,
    object_stores=LISTED,
    tracking_servers=(*LISTED, ListedServer("wandb.tracking")),
)
QUIET_SECONDS = 45.0
"""Longer than the pauses between attempts."""

SHOWN_LATER = {
    "Evaluation.spec.retry": "counts when an attempt fails",
    "Evaluation.spec.retry.limit": "counts when an attempt fails",
    "Evaluation.spec.retry.backoffSeconds": "counts when an attempt fails",
    "Evaluation.spec.model.quantization": "left out, it is what it says here: none",
}
"""Fields that show in neither children nor status of a story in which nothing goes wrong, and when they do."""
HOLDING = frozenset({"suspend", "queueName"})
"""What keeps the work from being done: on demand, or since there is no Kueue."""
FACTS = (
    "phase",
    "training",
    "fineTunedModel",
    "dataset",
    "plan",
    "score",
    "digest",
    "tasks",
    "summary",
    "candidates",
    "replicates",
)
"""What a status tells of the work, however often it was edited on the way."""


def accepted() -> dict[str, list[Mutation]]:
    """By field. FineTunedModels are made by the operator alone, and their spec never changes."""
    refused, found = field_mutations.refused_by_rules(), defaultdict(list)
    for mutation in field_mutations.mutations():
        if mutation.kind != Kind.FINE_TUNED_MODEL and not mutation.breaks_schema and str(mutation) not in refused:
            found[mutation.kind + mutation.field].append(mutation)
    return found


ACCEPTED = accepted()


def manifest(body: Raw, field: str) -> Raw:
    """A manifest that would hold its work is let go, unless that is what it is about."""
    holding = {name for name in HOLDING if not field.endswith(f".spec.{name}")}
    spec = {name: value for name, value in body["spec"].items() if name not in holding}
    return resource(Kind(body["kind"]), body["metadata"]["name"], spec)


def surroundings(body: Raw) -> list[Raw]:
    """What else there must be for the work to go on."""
    match body["kind"]:
        case "Comparison":
            names = {candidate["fineTuneJob"] for candidate in body["spec"]["candidates"]}
            return [fine_tune_job(name) for name in names if len(name) <= NAME_LIMIT]
        case "Evaluation" if "fineTunedModel" in body["spec"]["model"]:
            name = body["spec"]["model"]["fineTunedModel"]
            return [fine_tuned_model(fine_tune_job("origin"), name)] if len(name) <= NAME_LIMIT else []
    return []


def _says_the_same(mutation: Mutation) -> bool:
    model = MODELS[Kind(mutation.kind)][0]
    return bool(model.model_validate(mutation.before["spec"]) == model.model_validate(mutation.after["spec"]))


def traces(body: Raw) -> frozenset[str]:
    """All that a resource makes and tells until it comes to rest, without names that follow from a digest."""
    made: list[Raw] = []

    def note(change: Change) -> None:
        if change.type == "ADDED" and change.body["kind"] not in ("Pod", "Event", "FineTunedModel"):
            made.append({"kind": change.body["kind"], "labels": _labels(change.body), "spec": change.body.get("spec")})
        elif change.body["kind"] == "Job" and "ttlSecondsAfterFinished" in change.body["spec"]:
            made.append({"job": _labels(change.body), "ttl": change.body["spec"]["ttlSecondsAfterFinished"]})

    async def tell(world: World) -> None:
        world.apply(*surroundings(body))
        world.server.watchers.append(note)
        world.apply(body)
        await world.settle(QUIET_SECONDS)

    world = story(tell, settings=SETTINGS)
    status = world.status(Kind(body["kind"]), body["metadata"]["name"])
    status = {name: value for name, value in status.items() if name not in ("run", "history")}
    return frozenset(_nameless(item) for item in (*made[1:], status))


def _labels(body: Raw) -> Raw:
    labels: Raw = body["metadata"].get("labels", {})
    return labels


def _nameless(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    text = re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z", "(time)", text)
    return re.sub(r"[0-9a-f]{8,}", "(digest)", text)


@cache
def _traces_of(text: str) -> frozenset[str]:
    return traces(json.loads(text))


def known_traces(body: Raw) -> frozenset[str]:
    fixed = {**body, "metadata": {"name": body["metadata"]["name"], "namespace": NAMESPACE}}
    return _traces_of(json.dumps(fixed, sort_keys=True))


@pytest.mark.parametrize("field", ACCEPTED)
def test_another_value_shows_in_the_children_or_the_status(field: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "finetune_operator")
    silent = []
    for mutation in ACCEPTED[field]:
        before, after = manifest(mutation.before, field), manifest(mutation.after, field)
        if not _says_the_same(mutation) and known_traces(before) == known_traces(after):
            silent.append(mutation.what)
    assert [record.getMessage() for record in caplog.records] == []
    if field in SHOWN_LATER:
        assert silent != [], "it shows: it need not be excused any more"
    else:
        assert silent == []


def facts(world: World, body: Raw) -> Raw:
    status = world.status(Kind(body["kind"]), body["metadata"]["name"])
    told = {name: status.get(name) for name in FACTS}
    return {**told, "run": (status.get("run") or {}).get("digest")}


async def edited(world: World, body: Raw, spec: Raw) -> None:
    """To rest again; the status says that the edit was seen."""
    kind, name = body["kind"], body["metadata"]["name"]
    changed = world.server.replace_spec(kind, name, spec)
    await world.settle(QUIET_SECONDS)
    seen = world.status(Kind(kind), name)["observedGeneration"]
    assert seen == changed["metadata"]["generation"], "nobody looked at the edit"


@pytest.mark.parametrize("field", ACCEPTED)
def test_an_edit_is_seen_and_taking_it_back_brings_the_first_state_back(
    field: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One edit after the other on the same resource."""
    caplog.set_level(logging.ERROR, "finetune_operator")
    before = manifest(ACCEPTED[field][0].before, field)
    found: list[tuple[str, Raw]] = []

    async def tell(world: World) -> None:
        world.apply(*surroundings(before), before)
        await world.settle(QUIET_SECONDS)
        found.append(("at first", facts(world, before)))
        for mutation in ACCEPTED[field]:
            await edited(world, before, manifest(mutation.after, field)["spec"])
            await edited(world, before, before["spec"])
            found.append((mutation.what, facts(world, before)))

    story(tell, settings=SETTINGS)
    (_, first), *later = found
    if first["phase"] == "Succeeded":
        assert [what for what, told in later if told != first] == []
    else:  # a failure that the edit mended stays mended, and work that it let go stays done
        assert {told["phase"] for _, told in later} <= {first["phase"], "Succeeded"}
    assert [record.getMessage() for record in caplog.records] == []
