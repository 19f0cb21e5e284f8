"""The settings of the libraries that train, each chosen on purpose."""

from __future__ import annotations

from pathlib import Path

from peft import LoraConfig

from finetune_api.finetunejob import Lora, Training
from finetune_api.planning import TrainingPlan
from finetune_api.quantization import Precision
from finetune_trainer.target_modules import ALL_LINEAR
from finetune_trainer.train.devices import Device
from finetune_trainer.train.portions import Portions
from finetune_trainer.train.trl_trainer import SFTConfig

WARM_UP = 0.05
"""Share of the steps in which the learning rate rises."""
LARGEST_GRADIENT_NORM = 1.0


def sft_config(
    training: Training, plan: TrainingPlan, portions: Portions, device: Device, folder: Path, lr_scale: float = 1.0
) -> SFTConfig:
    """Settings of the training loop; checkpoints go to `folder`. `lr_scale` is what rollbacks left of the rate."""
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=training.epochs,
        per_device_train_batch_size=portions.micro_batch_size,
        per_device_eval_batch_size=portions.micro_batch_size,
        gradient_accumulation_steps=portions.accumulation,
        learning_rate=float(training.learning_rate) * lr_scale,
        lr_scheduler_type="cosine",
        warmup_steps=WARM_UP,
        max_grad_norm=LARGEST_GRADIENT_NORM,
        seed=training.seed,
        # The examples come as tokens and labels, already cut: one tokenization for prepare, train and evaluate.
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        # The rows are filled already; trl then tells the examples in a row apart by their positions, and passes no
        # attention mask: one of all ones would let them see each other.
        packing=plan.packing,
        packing_strategy="bfd",
        eval_packing=False,
        # Every step's loss is kept with the checkpoint.
        logging_strategy="steps",
        logging_steps=1,
        # Packed rows come without padding, and without the mask that would tell it.
        include_num_input_tokens_seen="all" if plan.packing else "non_padding",
        save_strategy="steps",
        save_steps=training.checkpoint_every_steps,
        eval_strategy="no",
        # On a GPU the adapter's 32-bit weights compute in bfloat16; a CPU gains nothing by that.
        bf16=device.is_gpu and plan.precision is Precision.BFLOAT16,
        activation_checkpointing=portions.activation_checkpointing,
        gradient_checkpointing=portions.activation_checkpointing,
        use_cpu=not device.is_gpu,
        dataloader_pin_memory=device.is_gpu,
        disable_tqdm=True,
        report_to="none",
        push_to_hub=False,
    )


def lora_config(lora: Lora) -> LoraConfig:
    targets = list(lora.target_modules)
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=float(lora.dropout),
        target_modules=ALL_LINEAR if targets == [ALL_LINEAR] else targets,
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        bias="none",
        task_type="CAUSAL_LM",
    )
