"""The one error that a user of the local cluster sees: what failed, where to read more, what to do."""

from __future__ import annotations

from pathlib import Path


class ClusterError(Exception):
    """A step that could not be finished, told in words that a person can act on."""

    def __init__(self, message: str, *, remedy: str = "", log: Path | None = None, log_tail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.log = log
        self.log_tail = log_tail

    def __str__(self) -> str:
        lines = [self.message]
        if self.log_tail:
            lines.append("  last lines of its log:")
            lines += [f"    {line}" for line in self.log_tail.splitlines()]
        if self.log is not None:
            lines.append(f"  log: {self.log}")
        if self.remedy:
            lines.append(f"  remedy: {self.remedy}")
        return "\n".join(lines)
