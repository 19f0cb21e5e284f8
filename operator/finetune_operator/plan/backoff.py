"""How long to wait before another attempt."""

import hashlib

LONGEST_SECONDS = 3600
SPREAD = 0.25
"""So much of a pause may be taken off: what failed together, since a server was away, does not come back together."""


def pause_seconds(first: int, failures: int, uid: str, attempt: int) -> int:
    """Twice as long with each failure, up to an hour. The same attempt of the same resource waits as long whenever it
    is worked out."""
    longest = min(first << min(failures - 1, 16), LONGEST_SECONDS)
    return longest - int(longest * SPREAD * _share(uid, attempt))


def _share(uid: str, attempt: int) -> float:
    """From 0 to below 1, evenly over resources and attempts."""
    digest = hashlib.sha256(f"{uid}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32
