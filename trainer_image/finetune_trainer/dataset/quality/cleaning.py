"""From the examples that were read to those that are learnt from: copies out, split, leaks out, limits kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from finetune_api.conditions import Reason
from finetune_api.quality import DatasetQuality
from finetune_trainer.dataset.quality.content_limits import DECIDE_IN_A_FILE
from finetune_trainer.dataset.quality.contradictions import contradictions
from finetune_trainer.dataset.quality.duplicates import distinct
from finetune_trainer.dataset.quality.findings import COPIES, LEAKS, Finding, FindingKind
from finetune_trainer.dataset.quality.fingerprints import Held, fingerprint_of
from finetune_trainer.dataset.quality.leakage import find_leaks
from finetune_trainer.dataset.quality.limits import refuse_beyond
from finetune_trainer.dataset.reading import NumberedExample
from finetune_trainer.dataset.splitting import Split, split
from finetune_trainer.failures import UserError
from finetune_trainer.reporting import Reporter

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Examined:
    """The split that is learnt from and validated with, and what was found on the way."""

    parts: Split
    read: int
    """Examples that there were at first."""
    learnt: int
    """Training examples before leaks were left out."""
    findings: tuple[Finding, ...]
    """In the order of their lines."""

    def of(self, *kinds: FindingKind) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.kind in kinds)


def examine(
    examples: Sequence[NumberedExample],
    limits: DatasetQuality,
    *,
    validation_fraction: Decimal,
    seed: int,
    suite: Sequence[Held],
    accepted: frozenset[int] = frozenset(),
    kept: frozenset[int] = frozenset(),
    reporter: Reporter,
) -> Examined:
    """Lines that a person `accepted` contradict nothing, and those that are to be `kept` are no copies; what leaks is
    left out in any case.
    UserError (DatasetInvalid) where nothing is left."""
    similarity = float(limits.near_duplicate_similarity)
    reporter.stage("looking for duplicates")
    unique = distinct(examples, similarity, kept, _progress(reporter, len(examples)))
    parts = split(unique.examples, validation_fraction, seed)
    reporter.stage("looking for leaks")
    leaks = leaked(parts, suite, similarity, _progress(reporter, len(parts.train)))
    disputed = (finding for finding in contradictions(unique.examples) if finding.line not in accepted)
    found = (*unique.findings, *disputed, *leaks)
    examined = Examined(
        parts=without(parts, leaks),
        read=len(examples),
        learnt=len(parts.train),
        findings=tuple(sorted(found, key=lambda finding: finding.line)),
    )
    if parts.train and not examined.parts.train:
        raise UserError(
            Reason.DATASET_INVALID,
            "spec.dataset: every training example stands in the validation split or the suite, so nothing is left to "
            "learn from. Take other examples",
        )
    return examined


def leaked(
    parts: Split, suite: Sequence[Held], similarity: float, on_row: Progress = lambda done: None
) -> tuple[Finding, ...]:
    """Training examples that stand in the validation split or in the suite; one that stands in both counts once."""
    validation = [_held_out(numbered) for numbered in parts.validation]
    held = (*validation, *suite)
    learnt = map(fingerprint_of, parts.train)
    found = find_leaks(learnt, held, similarity, on_row).rows
    return tuple(_leak(parts.train[row].line, leak.how, held[leak.held]) for row, leak in sorted(found.items()))


def without(parts: Split, leaks: Sequence[Finding]) -> Split:
    lines = {finding.line for finding in leaks}
    return Split(tuple(numbered for numbered in parts.train if numbered.line not in lines), parts.validation)


def _held_out(numbered: NumberedExample) -> Held:
    return Held(f"line {numbered.line} of the validation split", fingerprint_of(numbered), numbered.line)


def _leak(line: int, how: str, held: Held) -> Finding:
    kind = FindingKind.LEAKED_SUITE if held.line is None else FindingKind.LEAKED_VALIDATION
    return Finding(kind, line, f"{how} as {held.name}", 0.7, held.line)


def refuse_copies_and_leaks(examined: Examined, limits: DatasetQuality) -> None:
    """UserError (DatasetInvalid) for the first limit that is passed."""
    refuse_beyond(
        limits.max_duplicate_percent,
        examined.of(*COPIES),
        examples=examined.read,
        field="maxDuplicatePercent",
        what="repeat an earlier one",
        remedy="Take the copies out, or raise the limit: they are left out of the training either way. Or "
        + DECIDE_IN_A_FILE,
        examples_named="examples",
    )
    refuse_beyond(
        limits.max_contradiction_percent,
        examined.of(FindingKind.CONTRADICTION),
        examples=examined.read,
        field="maxContradictionPercent",
        what="answer a question otherwise than another one does",
        remedy="Decide for one answer to each question, or raise the limit where several are right. Or "
        + DECIDE_IN_A_FILE,
        examples_named="examples",
    )
    refuse_beyond(
        limits.max_leakage_percent,
        examined.of(*LEAKS),
        examples=examined.learnt,
        field="maxLeakagePercent",
        what="stand in the validation split or the suite",
        remedy="Take other examples, or raise the limit: they are left out of the training either way",
        examples_named="training examples",
    )


def _progress(reporter: Reporter, steps: int) -> Progress:
    return lambda done: reporter.progress(done, steps)
