"""The README beside an adapter or a merged model: what it is, what it came from, and how to load it."""

from __future__ import annotations

from finetune_api.orders import TrainOrder
from finetune_api.results import PrepareTrainingResult
from finetune_trainer.train.learning import Learnt

CARD_FILE = "README.md"
_LOAD_ADAPTER = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(base, "adapter")
"""
_LOAD_MERGED = """\
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("merged")
"""


def adapter_card(order: TrainOrder, prepared: PrepareTrainingResult, learnt: Learnt) -> str:
    """Says nothing about time or place: the same training has the same card."""
    front = f"---\nlibrary_name: peft\nbase_model: {order.base_model.path}\n---\n"
    about = f"# LoRA adapter for {order.base_model.path}\n\n"
    return front + about + _body(order, prepared, learnt, _LOAD_ADAPTER.format(base=order.base_model.path))


def merged_card(order: TrainOrder, prepared: PrepareTrainingResult, learnt: Learnt, difference: str) -> str:
    front = f"---\nlibrary_name: transformers\nbase_model: {order.base_model.path}\n---\n"
    about = (
        f"# {order.base_model.path}, fine-tuned\n\nThe adapter is merged into the weights, in bfloat16. The logits "
        f"differ from those of base model and adapter by at most {difference}.\n\n"
    )
    return front + about + _body(order, prepared, learnt, _LOAD_MERGED)


def _body(order: TrainOrder, prepared: PrepareTrainingResult, learnt: Learnt, how_to_load: str) -> str:
    rows = {**_origin(order, prepared), **_parameters(order, prepared), **_outcome(learnt)}
    table = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    return f"| | |\n|---|---|\n{table}\n```python\n{how_to_load}```\n"


def _origin(order: TrainOrder, prepared: PrepareTrainingResult) -> dict[str, str]:
    dataset = prepared.dataset
    return {
        "base model": f"{order.base_model.path} ({prepared.base_model_digest})",
        "dataset": dataset.digest,
        "examples": f"{dataset.train} learnt from, {dataset.validation} held out",
    }


def _parameters(order: TrainOrder, prepared: PrepareTrainingResult) -> dict[str, str]:
    lora, training, plan = order.lora, order.training, prepared.plan
    variants = ", rsLoRA" * lora.rslora + ", DoRA" * lora.dora
    if lora.lora_plus_ratio is not None:
        variants += f", LoRA+ {lora.lora_plus_ratio}"
    return {
        "method": f"{plan.method}, weights {plan.quantization}, computed in {plan.precision}",
        "adapter": f"rank {lora.rank}, alpha {lora.alpha}, dropout {lora.dropout}{variants}",
        "target modules": ", ".join(lora.target_modules),
        "training": f"{training.epochs} epochs, learning rate {training.learning_rate}, {training.effective_batch_size}"
        f" examples a step, at most {training.sequence_length} tokens{', packed' * plan.packing}, seed {training.seed}",
    }


def _outcome(learnt: Learnt) -> dict[str, str]:
    before, after = learnt.validation_losses
    outcome = {"steps": str(len(learnt.steps)), "training loss at the end": f"{learnt.final_loss:.4f}"}
    if learnt.best_step is not None:
        outcome["weights"] = f"those of step {learnt.best_step}, which had the lowest validation loss"
    if before is not None:
        outcome["validation loss of the base model"] = f"{before:.4f}"
    if after is not None:
        outcome["validation loss"] = f"{after:.4f}"
    return outcome
