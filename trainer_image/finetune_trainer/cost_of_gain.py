"""What a point of the overall score took."""

from __future__ import annotations

from finetune_api.comparison import Cost
from finetune_api.verdicts import Verdict
from finetune_trainer.statistics.results import ComparisonResult


def cost_of_gain(cost: Cost, result: ComparisonResult) -> Cost:
    """The same with the GPU energy of the training for each percentage point; not applicable unless the model surely
    improved, since a gain that may be none has no price."""
    if result.verdict is not Verdict.IMPROVED or cost.energy_kwh is None:
        return cost
    per_point = float(cost.energy_kwh) / (100 * result.overall.difference)
    return cost.model_copy(update={"kwh_per_point": f"{per_point:.4f}"})
