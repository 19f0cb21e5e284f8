"""Where a suite comes from, and which of its examples are asked, as the pod is told."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.orders import Location, SuiteLocation
from finetune_api.sources import SuiteSource, SuiteSplit
from finetune_operator.manifests import volumes

FOLDER = "/inputs"


@pytest.mark.parametrize(
    ("source", "expected", "mounted"),
    [
        ({"builtin": "finance"}, SuiteLocation(builtin="finance"), []),
        (
            {"configMap": {"name": "questions"}, "split": "search"},
            SuiteLocation(
                location=Location(
                    volume=f"{FOLDER}/configmaps/questions", path=".", manifest_field="spec.suite.configMap"
                ),
                split=SuiteSplit.SEARCH,
            ),
            [f"{FOLDER}/configmaps/questions"],
        ),
        (
            {"persistentVolumeClaim": {"claimName": "data", "path": "suites/mine"}, "split": "all", "limitPerTask": 9},
            SuiteLocation(
                location=Location(
                    volume=f"{FOLDER}/claims/data",
                    path="suites/mine",
                    manifest_field="spec.suite.persistentVolumeClaim.path",
                ),
                split=SuiteSplit.ALL,
                limit_per_task=9,
            ),
            [f"{FOLDER}/claims/data"],
        ),
    ],
)
def test_a_suite_is_mounted_read_only_where_the_order_says_it_is(
    source: dict[str, Any], expected: SuiteLocation, mounted: list[str]
) -> None:
    suite = SuiteSource.model_validate(source)
    assert volumes.suite_location(suite, "spec.suite") == expected
    inputs = [each for each in volumes.mounts("artifacts", suite).volume_mounts() if each.get("readOnly")]
    assert [each["mountPath"] for each in inputs] == mounted
