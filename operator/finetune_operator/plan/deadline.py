"""A deadline that was raised while a pod worked, which knows only the one that it was started with."""

from dataclasses import replace

from finetune_operator.plan.outcomes import Broken


def unless_raised(broken: Broken, allowed: int | None) -> Broken:
    """Out of time no longer, where the spec now allows more than the pod was told: another attempt follows, which is
    told of it. Each of them needs a deadline later than the last one's, so this comes to an end."""
    passed = broken.deadline_seconds
    if passed is None or (allowed is not None and allowed <= passed):
        return broken
    since = "taken away" if allowed is None else f"raised to {allowed}"
    message = f"The pod's deadline of {passed} s is over; spec.deadlineSeconds was {since} since: the training goes on."
    return replace(broken, message=message, retry=True, counted=False)
