"""What a user would write without the operator: trl's SFTTrainer and a LoRA adapter, padded, eight examples at once.

python3 plain_trl.py MODEL EXAMPLES DTYPE OUTPUT FIGURES
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from clock import Clock
from length_distribution import SEQUENCE_LENGTH


def as_messages(row: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    return {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "completion": [{"role": "assistant", "content": row["completion"]}],
    }


def main(model: str, examples: str, dtype: str, output: str, figures: str) -> None:
    clock = Clock()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)),
        processing_class=AutoTokenizer.from_pretrained(model),
        args=SFTConfig(
            output_dir=output,
            num_train_epochs=1,
            per_device_train_batch_size=8,
            learning_rate=2e-4,
            max_length=SEQUENCE_LENGTH,
            logging_steps=1,
            # trl's default computes activations twice; ours does so only where the plan says that memory is short.
            gradient_checkpointing=False,
            activation_checkpointing=False,
            include_num_input_tokens_seen="non_padding",
            use_cpu=True,
            bf16=False,
            report_to="none",
        ),
        train_dataset=load_dataset("json", data_files=examples, split="train").map(as_messages),
        peft_config=LoraConfig(
            r=16,
            lora_alpha=32,
            lora_dropout=0.05,
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
            task_type="CAUSAL_LM",
        ),
        callbacks=[clock],
    )
    trainer.train()
    trainer.save_model(output)
    clock.write(Path(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
