"""Lengths of time as Go and kubectl print them: 45s, 12m30s, 3h5m."""

import re

_WRITTEN = re.compile(r"(?:(?P<h>[0-9]{1,9})h)?(?:(?P<m>[0-9]{1,9})m)?(?:(?P<s>[0-9]{1,9})s)?")


def duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60}s"
    return f"{whole // 3600}h{whole % 3600 // 60}m"


def seconds_of(written: str) -> int | None:
    """None for what is no such length of time."""
    found = _WRITTEN.fullmatch(written)
    if found is None or not written:
        return None
    hours, minutes, seconds = (int(found[unit] or 0) for unit in "hms")
    return 3600 * hours + 60 * minutes + seconds
