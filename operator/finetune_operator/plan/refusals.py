"""What the API server says when it does not let an object in, in words that name the rule and the way out."""

import re

from finetune_api.conditions import Reason

_PREFIX = re.compile(r'^(?:Error creating: )?[a-z0-9.]+ "[^"]*" is forbidden: ')
"""The name of a pod that was never made is another one with each attempt."""
_EXCEEDED = re.compile(
    r"exceeded quota: (?P<quota>[^\s,]+), requested: (?P<requested>\S+?)(?=,?\s|$)"
    r"(?:, used: (?P<used>\S+), limited: (?P<limited>\S+))?"
)
_FAILED_QUOTA = re.compile(r"failed quota: (?P<quota>[^\s:]+): (?P<demand>[^\n]+)")
_POD_SECURITY = re.compile(r'violates PodSecurity "(?P<standard>[^"]+)"(?:: (?P<rules>[^\n]+))?')
_PRIORITY_CLASS = re.compile(r"no PriorityClass with name (?P<name>\S+) was found")
_LIMIT_RANGE = re.compile(r"(?:maximum|minimum) \S+ usage per (?:Container|Pod)|limit to request ratio")


def refusal(message: str, what: str) -> tuple[Reason, str]:
    """Only a quota that is used up makes room by itself; all else is for somebody to mend."""
    plain = _PREFIX.sub("", message)
    exceeded = _EXCEEDED.search(plain)
    if exceeded is not None:
        return Reason.WAITING_FOR_QUOTA, _exceeded(exceeded, what)
    return Reason.POD_REFUSED, _refused(plain, what)


def _exceeded(found: re.Match[str], what: str) -> str:
    figures = f"it asks for {found['requested']}"
    if found["used"] is not None:
        figures += f"; in use are {found['used']} of {found['limited']}"
    return f"ResourceQuota {found['quota']} does not allow {what} yet: {figures}."


def _refused(message: str, what: str) -> str:
    demanded = _FAILED_QUOTA.search(message)
    if demanded is not None:
        return f"ResourceQuota {demanded['quota']} refuses {what}: {demanded['demand']}"
    violated = _POD_SECURITY.search(message)
    if violated is not None:
        rules = f": {violated['rules']}" if violated["rules"] is not None else "."
        return f"The namespace's pod security standard {violated['standard']} refuses {what}{rules}"
    unknown = _PRIORITY_CLASS.search(message)
    if unknown is not None:
        return f"spec.priorityClassName: there is no PriorityClass {unknown['name']}; create it or name another one."
    if _LIMIT_RANGE.search(message) is not None:
        return f"A LimitRange of the namespace refuses {what}; see spec.resources: {message}"
    return f"{what[0].upper()}{what[1:]} was refused: {message}"
