"""Every field of every spec changed as nobody should (`field_mutations`): the API server refuses it and names the
field, or accepts it, and then takes the change back as well. No operator is needed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import field_mutations
from field_mutations import REFUSED_BY_RULES, Mutation
from localcluster import Cluster
from localcluster.api_client import ApiClient

PLURALS = {
    "Comparison": "comparisons",
    "Evaluation": "evaluations",
    "FineTunedModel": "finetunedmodels",
    "FineTuneJob": "finetunejobs",
}
REFUSED = (400, 422)


@dataclass(frozen=True)
class Verdict:
    accepted: bool
    message: str


Verdicts = dict[str, tuple[Mutation, Verdict]]


def verdict(api: ApiClient, manifest: field_mutations.Json) -> Verdict:
    """What the API server would say; nothing is stored."""
    query = "dryRun=All&fieldValidation=Strict"
    path = f"/apis/finetune.dev/v1alpha1/namespaces/default/{PLURALS[manifest['kind']]}?{query}"
    answer = api.call("POST", path, manifest)
    assert answer.status == 201 or answer.status in REFUSED, f"{answer.status}: {answer.body}"
    return Verdict(answer.status == 201, str(answer.body.get("message", "")))


@pytest.fixture(scope="module")
def verdicts(custom_resources: Cluster) -> Verdicts:
    api = ApiClient(custom_resources.kubeconfig)
    return {str(mutation): (mutation, verdict(api, mutation.after)) for mutation in field_mutations.mutations()}


def test_every_field_is_said_in_a_manifest_that_is_accepted() -> None:
    assert field_mutations.fields_without_a_manifest() == []


def test_what_breaks_the_schema_is_refused(verdicts: Verdicts) -> None:
    accepted = [name for name, (mutation, found) in verdicts.items() if mutation.breaks_schema and found.accepted]
    assert accepted == []


def test_a_refusal_names_the_field(verdicts: Verdicts) -> None:
    """Or, where a rule is about several, one that holds it."""
    silent = {
        name: found.message
        for name, (mutation, found) in verdicts.items()
        if not found.accepted and not any(part in found.message for part in _names(mutation.field))
    }
    assert silent == {}


def _names(field: str) -> list[str]:
    """The field itself and the one that holds it, as messages write them; `spec` says nothing."""
    holder, _, name = field.replace("[]", "").removeprefix(".").rpartition(".")
    return [name] if holder == "spec" else [name, holder]


def test_what_rules_refuse_is_what_tests_without_an_api_server_believe(verdicts: Verdicts) -> None:
    """When it differs, it is written as it should be: look at the difference and commit it."""
    found = [name for name, (mutation, found) in verdicts.items() if not mutation.breaks_schema and not found.accepted]
    believed = REFUSED_BY_RULES.read_text().splitlines() if REFUSED_BY_RULES.exists() else []
    if found != believed:
        REFUSED_BY_RULES.write_text("".join(f"{name}\n" for name in found))
    assert found == believed
