"""How often a verdict is wrong when the models are equal but the answers of one company hang together."""

from __future__ import annotations

import numpy as np

from finetune_trainer.statistics import inference
from finetune_trainer.statistics.inference import Sample
from finetune_trainer.statistics.sign_flip import FloatArray

GROUPS = 40
PER_GROUP = 15
CHANGED = 0.4
CORRELATION = 0.3
TRIALS = 600


def equal_models(generator: np.random.Generator) -> FloatArray:
    """Differences of -1, 0 and 1 whose sign is shared within a company as often as the correlation says."""
    shared = generator.choice((-1.0, 1.0), size=(GROUPS, 1))
    own = generator.choice((-1.0, 1.0), size=(GROUPS, PER_GROUP))
    follows = generator.random((GROUPS, PER_GROUP)) < np.sqrt(CORRELATION)
    changed = generator.random((GROUPS, PER_GROUP)) < CHANGED
    return np.where(changed, np.where(follows, shared, own), 0.0).ravel()


def test_equal_models_are_rarely_told_apart_although_companies_cluster() -> None:
    generator = np.random.default_rng(20_260_101)
    companies = tuple(f"company {number // PER_GROUP}" for number in range(GROUPS * PER_GROUP))
    weights = np.ones(len(companies))
    found = [inference.infer(Sample(equal_models(generator), weights, companies), (-1.0, 1.0)) for _ in range(TRIALS)]
    improved = sum(each.low > 0 for each in found) / TRIALS
    regressed = sum(each.high < 0 for each in found) / TRIALS
    assert improved <= 0.032
    assert regressed <= 0.032
    assert improved + regressed >= 0.02


def test_the_simulated_answers_would_fool_a_test_that_takes_them_for_independent() -> None:
    """Without this the test above could pass on answers that do not cluster at all."""
    generator = np.random.default_rng(20_260_102)
    z_values = [z_value(equal_models(generator)) for _ in range(TRIALS)]
    assert np.mean(np.abs(z_values) > 1.96) > 0.2


def z_value(differences: FloatArray) -> float:
    """The difference in standard errors, as if every example stood alone."""
    return float(differences.mean() / (differences.std() / np.sqrt(len(differences))))
