"""Conditions: the wanted ones, merged with what stood before, so that a transition's time is kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from finetune_api.conditions import Condition, ConditionStatus, ConditionType, Reason

MESSAGE_LIMIT = 32_000


@dataclass(frozen=True)
class Wanted:
    """What a condition shall say."""

    type: ConditionType
    holds: bool | None
    reason: Reason | str
    message: str


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def merge(
    before: Iterable[Condition], wanted: Iterable[Wanted], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Exactly the wanted conditions. One whose status did not change keeps its time of transition."""
    previous = {condition.type: condition for condition in before}
    return tuple(_condition(item, previous.get(item.type), generation, now) for item in wanted)


def _condition(wanted: Wanted, before: Condition | None, generation: int, now: datetime) -> Condition:
    status = _STATUS[wanted.holds]
    kept = before.last_transition_time if before is not None and before.status is status else timestamp(now)
    return Condition(
        type=wanted.type.value,
        status=status,
        observed_generation=generation,
        last_transition_time=kept,
        reason=str(wanted.reason),
        message=wanted.message[:MESSAGE_LIMIT],
    )


_STATUS = {True: ConditionStatus.TRUE, False: ConditionStatus.FALSE, None: ConditionStatus.UNKNOWN}
