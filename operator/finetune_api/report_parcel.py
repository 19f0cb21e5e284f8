"""How a report travels in a pod's log: gzipped, in base64, cut into lines that each are an event."""

import base64
import binascii
import hashlib
import time

from pydantic import ValidationError

from finetune_api.events import ReportEvent, parse_event

REPORT_LIMIT = 512 * 1024
"""Bytes of a gzipped report that travels: with its neighbours in a ConfigMap it stays below the 1 MiB of etcd."""
LOG_LIMIT = 720 * 1024
"""Bytes at the end of a log that hold such a report: base64 takes a third more, each line its frame."""
PART_BYTES = 9 * 1024
"""Bytes in a line, a multiple of three: in base64 they stay below the 16 KiB at which a runtime cuts lines."""
_START = '{"event":"report"'
_GZIP = b"\x1f\x8b"


def pack(report: bytes) -> tuple[ReportEvent, ...]:
    """The events of a gzipped report. Raises ValueError where it is beyond the limit."""
    if len(report) > REPORT_LIMIT:
        raise ValueError(f"a report of {len(report)} bytes, of which at most {REPORT_LIMIT} travel")
    cuts = [report[start : start + PART_BYTES] for start in range(0, len(report), PART_BYTES)]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    digest = report_digest(report)
    return tuple(
        ReportEvent(time=now, part=number, parts=len(cuts), digest=digest, data=base64.b64encode(cut).decode())
        for number, cut in enumerate(cuts, start=1)
    )


def unpack(log: str) -> bytes | None:
    """The last report that a log tells whole and unchanged; None where there is none."""
    parts = [event for line in log.splitlines() if (event := _report_event(line)) is not None]
    if not parts:
        return None
    last = [event for event in parts if event.digest == parts[-1].digest]
    by_number = {event.part: event.data for event in last}
    if sorted(by_number) != list(range(1, last[-1].parts + 1)):
        return None
    try:
        report = b"".join(base64.b64decode(by_number[number], validate=True) for number in sorted(by_number))
    except binascii.Error:
        return None
    is_sound = len(report) <= REPORT_LIMIT and report_digest(report) == last[-1].digest and report.startswith(_GZIP)
    return report if is_sound else None


def _report_event(line: str) -> ReportEvent | None:
    if not line.startswith(_START):
        return None
    try:
        event = parse_event(line)
    except ValidationError:
        return None
    return event if isinstance(event, ReportEvent) else None


def report_digest(report: bytes) -> str:
    """By which a gzipped report is known."""
    return f"sha256:{hashlib.sha256(report).hexdigest()}"
