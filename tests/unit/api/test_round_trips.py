"""What operator, trainer and API server tell each other arrives as it was sent."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from finetune_api.comparison import Comparison
from finetune_api.conditions import Reason
from finetune_api.evaluation import Evaluation
from finetune_api.events import Event, StageEvent, parse_event
from finetune_api.finetunedmodel import FineTunedModel
from finetune_api.finetunejob import FineTuneJob
from finetune_api.orders import Order, TrainOrder, parse_order
from finetune_api.results import (
    TERMINATION_MESSAGE_LIMIT,
    UNPACKED_LIMIT,
    Failure,
    Result,
    pack_result,
    parse_result,
)

MODELS: tuple[type[BaseModel], ...] = (FineTuneJob, Evaluation, Comparison, FineTunedModel)
LONGEST_TEXT, LONGEST_LIST = 8, 3
thorough = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def anything_of(annotation: Any, metadata: Iterable[Any] = ()) -> st.SearchStrategy[Any]:
    """Any value that a field of this type may have."""
    constraints = list(constraints_of(metadata))
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extra = get_args(annotation)
        return anything_of(inner, [*extra, *constraints])
    if origin in (Union, types.UnionType):
        return st.one_of(*(anything_of(choice, constraints) for choice in get_args(annotation)))
    if origin is Literal:
        return st.sampled_from(get_args(annotation))
    if origin is tuple:
        least, most = sizes(constraints, LONGEST_LIST)
        return st.lists(anything_of(get_args(annotation)[0]), min_size=least, max_size=most).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text("abc/.", min_size=1, max_size=4), st.text("abc", max_size=4), max_size=3)
    return anything_plain(annotation, constraints)


def anything_plain(annotation: Any, constraints: list[Any]) -> st.SearchStrategy[Any]:
    if annotation is type(None):
        return st.none()
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return st.integers(at_least(constraints), at_most(constraints))
    if annotation is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if annotation is str:
        least, most = sizes(constraints, LONGEST_TEXT)
        return st.text(st.characters(exclude_categories=["Cs"]), min_size=least, max_size=most)
    if issubclass(annotation, StrEnum):
        return st.sampled_from(annotation)
    return anything_like(annotation)


def anything_like(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    fields = {name: anything_of(field.annotation, field.metadata) for name, field in model.model_fields.items()}
    return st.fixed_dictionaries(fields).map(lambda values: model(**values))


def constraints_of(metadata: Iterable[Any]) -> Iterable[Any]:
    for item in metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else [item]


def at_least(constraints: list[Any]) -> int:
    bounds: list[Any] = [item.ge for item in constraints if isinstance(item, annotated_types.Ge)]
    return bounds[0] if bounds else -(2**53)


def at_most(constraints: list[Any]) -> int:
    bounds: list[Any] = [item.le for item in constraints if isinstance(item, annotated_types.Le)]
    return bounds[0] if bounds else 2**53


def sizes(constraints: list[Any], enough: int) -> tuple[int, int]:
    """Fewest and most characters or items: within the constraints, and no more than enough to go wrong."""
    least = next((item.min_length for item in constraints if isinstance(item, annotated_types.MinLen)), 0)
    most = next((item.max_length for item in constraints if isinstance(item, annotated_types.MaxLen)), enough)
    return least, max(least, min(most, enough))


def union_of(annotation: Any) -> st.SearchStrategy[Any]:
    choices, *_ = get_args(annotation)
    return st.one_of(*(anything_like(model) for model in get_args(choices)))


@thorough
@given(union_of(Order))
def test_an_order_arrives_as_it_was_sent(order: Any) -> None:
    assert parse_order(order.to_json()) == order


@thorough
@given(union_of(Result))
def test_a_result_arrives_as_it_was_sent_plain_or_packed(result: Any) -> None:
    assert parse_result(result.model_dump_json(by_alias=True, exclude_none=True)) == result
    assert parse_result(pack_result(result)) == result


@thorough
@given(union_of(Event))
def test_an_event_is_one_line_and_arrives_as_it_was_sent(event: Any) -> None:
    line = event.model_dump_json(by_alias=True, exclude_none=True)
    assert "\n" not in line
    assert parse_event(line) == event


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_manifest_is_read_as_it_was_written(model: Any) -> None:
    @thorough
    @given(anything_like(model))
    def reads_what_it_wrote(resource: Any) -> None:
        manifest = resource.to_manifest()
        assert model.model_validate(manifest) == resource
        assert json.loads(json.dumps(manifest)) == manifest

    reads_what_it_wrote()


def test_a_field_of_a_newer_version_is_ignored_in_a_resource() -> None:
    manifest = {
        "spec": {
            "baseModel": {"persistentVolumeClaim": {"claimName": "models", "path": "llama", "subPath": "new"}},
            "dataset": {"configMap": {"name": "earnings", "key": "train.jsonl"}},
            "addedLater": {"on": True},
        }
    }
    spec = FineTuneJob.model_validate(manifest).spec
    assert spec.base_model.persistent_volume_claim is not None
    assert "addedLater" not in spec.to_manifest()


def test_operator_and_trainer_of_different_versions_find_out() -> None:
    event = StageEvent(time="2026-01-31T12:00:00Z", stage="loading the model")
    newer = {**event.model_dump(by_alias=True), "addedLater": 1}
    with pytest.raises(ValidationError, match="addedLater"):
        parse_event(json.dumps(newer))


def test_an_order_of_another_version_is_refused() -> None:
    with pytest.raises(ValidationError, match="version"):
        TrainOrder.model_validate({"version": 2, "directory": "/artifacts/x"})


def test_text_that_is_no_result_is_refused() -> None:
    for text in ("", "OOMKilled", "{}", '{"result":"unknown"}'):
        with pytest.raises(ValidationError):
            parse_result(text)
    with pytest.raises(ValueError, match="base64"):
        parse_result('{"result":"packed","deflated":"%%%"}')
    with pytest.raises(ValueError, match="cannot be unpacked"):
        parse_result('{"result":"packed","deflated":"AAAA"}')


def test_a_packed_result_cannot_blow_up() -> None:
    bomb = Failure(reason=Reason.DATASET_INVALID, message="x" * (4 * UNPACKED_LIMIT))
    packed = pack_result(bomb)
    assert len(packed) < TERMINATION_MESSAGE_LIMIT
    with pytest.raises(ValidationError):
        parse_result(packed)


def comparison_result(tasks: int) -> Any:
    """As long as a real one: figures of four digits that differ from task to task."""

    def figure(seed: int, sign: str = "") -> str:
        return f"{sign}0.{(seed * 7919 + 1237) % 10000:04d}"

    def effect(seed: int) -> dict[str, Any]:
        figures = {name: figure(seed + offset) for offset, name in enumerate(("base", "tuned", "lower", "upper", "p"))}
        return {
            **figures,
            "n": 800,
            "groups": 80,
            "delta": figure(seed + 6, "+"),
            "deltaPercent": f"+{seed % 90}.{seed % 10}",
            "verdict": "Improved",
            "reason": "IntervalAboveZero",
        }

    def task(number: int) -> dict[str, Any]:
        return {
            **effect(number * 11),
            "name": f"task-number-{number}",
            "title": f"The task with the number {number}",
            "pHolm": figure(number * 13),
            "parseFailures": {"base": 31 * number, "tuned": number},
            "becameParsable": figure(number * 17, "+"),
            "becameRight": figure(number * 19, "+"),
        }

    def gate(number: int) -> dict[str, Any]:
        named = {"gate": "mustNotRegress", "task": f"task-number-{number}", "passed": True, "limit": "-0.03"}
        return {**named, "bound": figure(number * 23, "-")}

    candidate = {
        "fineTuneJob": "llama-3-1-8b-earnings-per-share",
        "verdict": "Improved",
        "overall": effect(999),
        "tasks": [task(number) for number in range(tasks)],
        "gates": [gate(number) for number in range(tasks)],
        "perplexity": {
            "documents": 800,
            **{name: figure(offset * 29) for offset, name in enumerate(("base", "tuned", "delta", "lower", "upper"))},
        },
        "cost": {"trainingHours": "5.25", "energyKWh": "2.125"},
    }
    return parse_result(json.dumps({"result": "compare", "candidate": candidate, "reportPath": "compare/report.html"}))


def test_the_largest_comparison_fits_into_a_termination_message_when_packed() -> None:
    result = comparison_result(tasks=12)
    assert len(result.model_dump_json(by_alias=True, exclude_none=True)) > TERMINATION_MESSAGE_LIMIT
    assert len(pack_result(result)) <= TERMINATION_MESSAGE_LIMIT
