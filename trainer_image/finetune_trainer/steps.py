"""Which code carries out which order. Modules are imported when they are needed: `prepare` never loads torch."""

from __future__ import annotations

from importlib import import_module

from finetune_api.orders import (
    CompareOrder,
    EvaluateOrder,
    Order,
    PrepareEvaluationOrder,
    PrepareTrainingOrder,
    TrainOrder,
)
from finetune_api.results import Result
from finetune_trainer.reporting import Reporter

_MODULES: dict[type[Order], str] = {
    PrepareTrainingOrder: "finetune_trainer.prepare_training",
    TrainOrder: "finetune_trainer.train.step",
    PrepareEvaluationOrder: "finetune_trainer.prepare_evaluation",
    EvaluateOrder: "finetune_trainer.evaluate",
    CompareOrder: "finetune_trainer.compare",
}


def carry_out(order: Order, reporter: Reporter) -> Result | None:
    """Each module has `run(order, reporter)`. None where another process tells the result."""
    result: Result | None = import_module(_MODULES[type(order)]).run(order, reporter)
    return result
