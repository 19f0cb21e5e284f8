"""The generation phase of lm-eval-harness's `hf` backend: python3 harness.py MODEL_FOLDER FIGURES"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from finetune_trainer.evaluation.questions import Question, QuestionTask
from finetune_trainer.reporting import Reporter
from questions import ROWS, question_tasks, subject_of


def main(folder: Path, figures: Path) -> None:
    tasks = question_tasks(subject_of(folder, Reporter(sys.stderr)))
    harness = HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=ROWS)
    asked = [(question, _request(harness, task, question)) for task in tasks for question in task.questions]
    harness.generate_until([_request(harness, tasks[0], tasks[0].questions[0], 1)], disable_tqdm=True)  # warms up
    began = time.monotonic()
    answers = harness.generate_until([request for _, request in asked], disable_tqdm=True)
    seconds = time.monotonic() - began
    by_id = {question.example.id: answer for (question, _), answer in zip(asked, answers, strict=True)}
    figures.write_text(json.dumps({"seconds": seconds, "answers": by_id}))


def _request(harness: HFLM, task: QuestionTask, question: Question, longest: int | None = None) -> Instance:
    """The very tokens that we ask. Stop strings are the harness's own: the token that ends an answer."""
    text = harness.tokenizer.decode(question.tokens, skip_special_tokens=False)
    assert tuple(harness.tok_encode(text)) == question.tokens, "both must be asked the same"
    how = {"until": [], "max_gen_toks": longest or task.max_new_tokens, "do_sample": False}
    return Instance(request_type="generate_until", doc={}, arguments=(text, how), idx=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
