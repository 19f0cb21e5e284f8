"""The plan: what a training needs and how it is cut up, from the model's config.json and the examples' lengths.

Pure: nothing here reads a file or knows a device. docs/planning.md explains the figures.
"""

from finetune_trainer.planning.method import resolve_method
from finetune_trainer.planning.plan import make_plan
from finetune_trainer.planning.portions import check_portions, largest_divisor, rank_share
from finetune_trainer.planning.steps import Lengths

__all__ = ["Lengths", "check_portions", "largest_divisor", "make_plan", "rank_share", "resolve_method"]
