"""Multiple choice: the likeliest choice is written down as the answer, and graded scores are added up."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from evaluation_desk import Desk, write_lines, write_suite
from transformers import LlamaForCausalLM

from finetune_trainer.tokenization import Tokenizer

CHOICES = ("it rose", "it fell by a considerable amount", "flat")


def write_choices(desk: Desk, **example: Any) -> list[dict[str, Any]]:
    def change(document: dict[str, Any]) -> None:
        del document["shots"]
        document["tasks"][0]["scorer"] = {"kind": "choice"}
        document["tasks"][1]["scorer"] = {"kind": "span"}

    write_suite(desk.suite, change)
    rows = [
        {
            "id": f"eps-{number}",
            "task": "eps",
            "group": f"Company {number}",
            "messages": [{"role": "user", "content": f"How did sales of Company {number} go?" + " Tell me." * number}],
            "choices": CHOICES,
            "reference": "C",
        }
        | example
        for number in range(6)
    ]
    write_lines(desk.suite / "eps.jsonl", rows)
    return rows


def by_hand(desk: Desk, prompt: str, choice: str) -> float:
    """Nats of the choice for each byte, token by token."""
    model = LlamaForCausalLM.from_pretrained(desk.model).eval()
    tokenizer = Tokenizer.load(desk.model)
    messages = [{"role": "user", "content": prompt}]
    before = tokenizer.encode_messages(messages) if tokenizer.has_chat_template else tokenizer.encode_text(prompt)
    tokens = tokenizer.encode_choice(messages if tokenizer.has_chat_template else prompt, choice).tokens
    assert tokens[: len(before)] == before
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([tokens])).logits[0].double().log_softmax(dim=-1)
    nats = -sum(float(logits[place - 1, tokens[place]]) for place in range(len(before), len(tokens)))
    return nats / len(choice.encode())


def test_the_likeliest_choice_of_each_question_is_its_answer(desk: Desk) -> None:
    rows = write_choices(desk)
    desk.evaluate()
    answers = [json.loads(line) for line in desk.predictions().splitlines()]
    chosen = {each["id"]: each for each in answers if each["task"] == "eps"}
    for row in rows:
        values = {choice: by_hand(desk, row["messages"][0]["content"], choice) for choice in CHOICES}
        likeliest = min(values, key=values.__getitem__)
        found = chosen[row["id"]]
        assert (found["prediction"], found["score"]) == (likeliest, float(likeliest == "flat"))
    assert all(each["parsed"] for each in chosen.values())


def test_graded_scores_are_added_up(desk: Desk) -> None:
    write_choices(desk)
    result = desk.evaluate()
    answers = [json.loads(line) for line in desk.predictions().splitlines()]
    spans = [each["score"] for each in answers if each["task"] == "mood"]
    assert float(result.tasks[1].score) == pytest.approx(sum(spans) / len(spans), abs=1e-4)


def test_a_choice_that_does_not_fit_the_model_is_refused_before_a_gpu_is_asked_for(desk: Desk) -> None:
    write_choices(desk, choices=["yes", "no " * 1000], reference="yes")
    with pytest.raises(Exception, match="shorten the example or take it out"):
        desk.digest()
