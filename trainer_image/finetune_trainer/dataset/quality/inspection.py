"""Looks at every example, one by one and all together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from finetune_api.quality import QualityReport, Share
from finetune_trainer.dataset.counting import CountsByLine
from finetune_trainer.dataset.quality.consistency import check_consistency
from finetune_trainer.dataset.quality.decisions import Decided
from finetune_trainer.dataset.quality.distributions import Histogram, histogram, labels
from finetune_trainer.dataset.quality.findings import COPIES, LEAKS, Finding, FindingKind
from finetune_trainer.dataset.quality.languages import language_of, rare_languages
from finetune_trainer.dataset.quality.passages import Text, texts_of
from finetune_trainer.dataset.quality.personal import check_personal
from finetune_trainer.dataset.quality.relevance import IRRELEVANT_BELOW, LANGUAGE_OF_THE_WORDS, relevance
from finetune_trainer.dataset.reading import NumberedExample

_SHARES_TOLD = 8
_SHARE_NAME = 63


@dataclass(frozen=True)
class Inspection:
    """What was found."""

    decided: Decided
    findings: tuple[Finding, ...]
    """Those that count: of examples that a person accepted only leaks and copies that are left out all the same."""
    relevance: dict[int, float]
    """Score of each line, 0 to 1; of texts that are surely in another language than the list's there is none."""
    languages: Counter[str]
    labels: Counter[str]
    histograms: tuple[Histogram, ...]

    @property
    def examples(self) -> tuple[NumberedExample, ...]:
        return self.decided.examples

    def count(self, kind: FindingKind) -> int:
        return len({finding.line for finding in self.findings if finding.kind is kind})

    @property
    def mean_relevance(self) -> float | None:
        return sum(self.relevance.values()) / len(self.relevance) if self.relevance else None

    @property
    def to_review(self) -> tuple[tuple[Finding, ...], ...]:
        """Findings by example, worst first; what is as bad goes by its line."""
        by_line: dict[int, list[Finding]] = {}
        for finding in self.findings:
            by_line.setdefault(finding.line, []).append(finding)
        ordered = (sorted(found, key=lambda each: -each.severity) for found in by_line.values())
        return tuple(sorted(map(tuple, ordered), key=_badness))

    def summary(self) -> QualityReport:
        """What the status shows of it."""
        mean = self.mean_relevance
        return QualityReport(
            examples=len(self.examples) + self.decided.rejected,
            exact_duplicates=self.count(FindingKind.EXACT_DUPLICATE),
            near_duplicates=self.count(FindingKind.NEAR_DUPLICATE),
            contradictions=self.count(FindingKind.CONTRADICTION),
            leaked_validation=self.count(FindingKind.LEAKED_VALIDATION),
            leaked_suite=self.count(FindingKind.LEAKED_SUITE),
            relevance=None if mean is None else f"{mean:.3f}",
            irrelevant=self.count(FindingKind.IRRELEVANT),
            inconsistent=self.count(FindingKind.INCONSISTENT),
            personal=self.count(FindingKind.PERSONAL_DATA),
            languages=_shares(self.languages),
            labels=_shares(self.labels),
            to_review=len(self.to_review),
            accepted=len(self.decided.accepted),
            rejected=self.decided.rejected,
            fixed=self.decided.fixed,
        )


def inspect(
    decided: Decided,
    counts: CountsByLine,
    on_example: Callable[[int], object],
    others: Sequence[Finding] = (),
) -> Inspection:
    """`others` are findings about several examples at once, which are made elsewhere."""
    texts = texts_of(decided.examples)
    scores: dict[int, float] = {}
    languages: dict[int, str] = {}
    findings = list(others)
    for done, text in enumerate(texts, start=1):
        language = language_of(text.own)
        if language is not None:
            languages[text.line] = language
        if language in (None, LANGUAGE_OF_THE_WORDS):
            scores[text.line] = relevance(text.whole)
        findings += _findings_of(text, scores.get(text.line))
        on_example(done)
    findings += rare_languages(languages)
    return Inspection(
        decided=decided,
        findings=tuple(each for each in findings if _counts(each, decided)),
        relevance=scores,
        languages=Counter(languages.values()),
        labels=labels(text.answer for text in texts),
        histograms=_histograms(texts, counts),
    )


def _counts(finding: Finding, decided: Decided) -> bool:
    """What is left out of the training all the same is told, whatever was accepted."""
    if finding.kind in COPIES:
        return finding.line not in decided.kept
    return finding.kind in LEAKS or finding.line not in decided.accepted


def _findings_of(text: Text, score: float | None) -> Iterator[Finding]:
    if score is not None and score < IRRELEVANT_BELOW:
        said = f"is hardly about finance (score {score:.2f})"
        yield Finding(FindingKind.IRRELEVANT, text.line, said, round(0.5 * (1 - score), 3))
    for found in (check_consistency(text), check_personal(text)):
        if found is not None:
            yield found


def _histograms(texts: Sequence[Text], counts: CountsByLine) -> tuple[Histogram, ...]:
    measured = [counts[text.line] for text in texts if text.line in counts]
    return (
        histogram("Prompts", "words", [len(text.prompt.split()) for text in texts]),
        histogram("Answers", "words", [len(text.answer.split()) for text in texts]),
        histogram("Prompts", "tokens", [each.tokens - each.trainable for each in measured]),
        histogram("Answers", "tokens", [each.trainable for each in measured]),
    )


def _badness(found: tuple[Finding, ...]) -> tuple[float, int, int]:
    return (-found[0].severity, -len(found), found[0].line)


def _shares(counts: Counter[str]) -> tuple[Share, ...]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Share(name=name[:_SHARE_NAME], count=count) for name, count in ordered[:_SHARES_TOLD])
