"""Several candidates: places, and intervals that hold together."""

from __future__ import annotations

import random

import numpy as np
import pytest
from findings_of import evaluation_of, right_for, small_suite

from finetune_api.verdicts import Verdict
from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.statistics import inference, joint, ranking
from finetune_trainer.statistics.comparison import among_candidates, compare_scores
from finetune_trainer.statistics.inference import Sample
from finetune_trainer.statistics.pairing import PairingError
from known_truth import Cell, draw

SUITE = small_suite("eps", "revenue")


def answers(share: float) -> tuple[ScoredPrediction, ...]:
    return evaluation_of(SUITE, "any", right_for(share)).predictions


def stand(**shares: float) -> dict[str, ranking.Standing]:
    return ranking.stand(SUITE.suite, answers(0.3), {name: answers(share) for name, share in shares.items()})


def test_candidates_are_placed_by_their_overall_score() -> None:
    found = stand(weak=0.4, strong=0.9, middling=0.6)
    assert {name: each.rank.rank for name, each in found.items()} == {"strong": 1, "middling": 2, "weak": 3}


def test_candidates_with_the_same_answers_share_a_place_and_differ_by_nothing() -> None:
    found = stand(one=0.7, twin=0.7, weak=0.4)
    assert {name: each.rank.rank for name, each in found.items()} == {"one": 1, "twin": 1, "weak": 3}
    (twin,) = [each for each in found["one"].versus if each.rival == "twin"]
    assert (twin.interval.estimate, twin.interval.low, twin.interval.high) == (0, 0, 0)


def test_one_against_another_is_the_mirror_of_the_other_against_it() -> None:
    found = stand(one=0.5, other=0.8)
    (there,), (back,) = found["one"].versus, found["other"].versus
    assert (there.rival, back.rival) == ("other", "one")
    assert (there.interval.low, there.interval.high) == (-back.interval.high, -back.interval.low)
    assert back.interval.low > 0


def test_whichever_candidate_asks_the_figures_are_the_same() -> None:
    shares = {"a": 0.5, "b": 0.8, "c": 0.35}
    assert stand(**shares) == stand(**dict(reversed(shares.items())))


def test_more_candidates_leave_more_doubt() -> None:
    alone, among = stand(one=0.4)["one"].rank, stand(one=0.4, **{f"c{n}": 0.3 + n / 20 for n in range(7)})["one"].rank
    assert among.p_holm >= alone.p_holm
    assert among.interval.low < alone.interval.low < alone.interval.high < among.interval.high


def test_a_single_comparison_has_the_interval_that_it_has_alone() -> None:
    differences = np.random.default_rng(3).choice([-1.0, 0.0, 1.0], 240)
    sample = Sample(differences, np.ones(240), tuple(f"c{number % 40}" for number in range(240)))
    (found,) = joint.simultaneous([sample], (-1.0, 1.0))
    alone = inference.infer(sample, (-1.0, 1.0))
    assert (found.estimate, found.p) == (alone.estimate, alone.p)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=0.01)


def test_a_candidate_that_left_questions_out_is_named_by_its_task() -> None:
    with pytest.raises(PairingError, match="eps"):
        ranking.stand(SUITE.suite, answers(0.3), {"one": answers(0.5), "other": answers(0.5)[1:]})


def test_simultaneous_intervals_err_together_in_five_percent() -> None:
    """Four candidates without any difference, each with answers of its own, over 300 comparisons."""
    cell = Cell(0.3, 40, skewed=False, churn=0.2, difference=0.0)
    generator = np.random.default_rng(8)
    groups = tuple(str(group) for group in np.repeat(np.arange(40), cell.sizes))
    drawn = [draw(cell, 300, generator) for _ in range(4)]
    joint_errors = alone_errors = 0
    for trial in range(300):
        samples = [Sample(each[trial].astype(np.float64), np.ones(len(groups)), groups) for each in drawn]
        found = joint.simultaneous(samples, (-1.0, 1.0))
        joint_errors += any(not each.low <= 0 <= each.high for each in found)
        alone_errors += any(each.p < 0.05 for each in found)
    assert joint_errors / 300 <= 0.075
    assert alone_errors / 300 > 0.09


def test_the_best_of_eight_that_are_no_better_is_hardly_ever_improved() -> None:
    """By its own interval alone it would be in one of seven cases."""
    alone = among = 0
    for start in range(0, 540, 9):
        base, *others = (drawn(seed) for seed in range(start, start + 9))
        candidates = {f"seed-{number}": answers for number, answers in enumerate(others)}
        results = {name: compare_scores(base, answers, SUITE.suite) for name, answers in candidates.items()}
        standings = ranking.stand(SUITE.suite, base, candidates)
        alone += any(each.verdict is Verdict.IMPROVED for each in results.values())
        among += any(
            among_candidates(each, name, standings, SUITE.suite.margin).verdict is Verdict.IMPROVED
            for name, each in results.items()
        )
    assert among <= 3 < alone


def drawn(seed: int) -> tuple[ScoredPrediction, ...]:
    """Of a model that is right in half of the cases."""
    dice = random.Random(seed)
    right = [dice.random() < 0.5 for _ in range(120)]
    return tuple(evaluation_of(SUITE, f"seed-{seed}", lambda number: "1.5" if right[number] else "7").predictions)
