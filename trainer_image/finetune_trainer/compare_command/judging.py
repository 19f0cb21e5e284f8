"""From files of predictions to what is found of each candidate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from finetune_trainer.compare_command import suite as suites
from finetune_trainer.compare_command.errors import InputError
from finetune_trainer.compare_command.matching import Matched, check_alike, match
from finetune_trainer.compare_command.reading import read_rows
from finetune_trainer.report.findings import Findings
from finetune_trainer.statistics import ranking
from finetune_trainer.statistics.comparison import among_candidates, compare_scores
from finetune_trainer.statistics.pairing import PairingError
from finetune_trainer.statistics.results import ComparisonResult

MOST_CANDIDATES = 8


def compare(baseline: Path, candidates: Sequence[Path], suite: Path | None = None) -> tuple[Findings, ...]:
    """Of each candidate, the first place first. InputError names file and line, or the option."""
    _check_candidates(candidates)
    matched = _read(baseline, candidates, suite)
    try:
        results = _judge(matched)
    except PairingError as error:
        raise InputError(str(error)) from error
    found = [
        Findings(f"{side.name} against {baseline.stem}", matched.suite, matched.baseline, side, result, cost=None)
        for side, result in zip(matched.candidates, results, strict=True)
    ]
    return tuple(sorted(found, key=lambda each: each.result.standing.rank.rank if each.result.standing else 1))


def _check_candidates(candidates: Sequence[Path]) -> None:
    if len(candidates) > MOST_CANDIDATES:
        raise InputError(f"--candidate: given {len(candidates)} times; at most {MOST_CANDIDATES} are compared at once")
    for number, path in enumerate(candidates):
        if path.resolve() in [other.resolve() for other in candidates[:number]]:
            raise InputError(f"--candidate: {path}: given more than once; name each candidate once")


def _read(baseline: Path, candidates: Sequence[Path], suite: Path | None) -> Matched:
    wanted = None if suite is None else suites.read_suite(suite)
    examples = {} if suite is None or wanted is None else suites.read_examples(suite, wanted)
    base, tuned = read_rows(baseline), [read_rows(path) for path in candidates]
    for each in tuned:
        check_alike(base, each)
    return match(wanted or suites.suite_of(tuple(base.rows.values())), examples, base, tuned)


def _judge(matched: Matched) -> list[ComparisonResult]:
    suite, base = matched.suite.suite, matched.baseline.predictions
    results = [compare_scores(base, each.predictions, suite) for each in matched.candidates]
    if len(results) == 1:
        return results
    standings = ranking.stand(suite, base, {each.name: each.predictions for each in matched.candidates})
    return [
        among_candidates(result, side.name, standings, suite.margin)
        for side, result in zip(matched.candidates, results, strict=True)
    ]
