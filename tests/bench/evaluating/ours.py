"""Our generation phase: python3 ours.py MODEL_FOLDER FIGURES"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from finetune_api.quantization import Precision
from finetune_trainer.evaluation.examination import AnswerBatch, Examiner, batches_of
from finetune_trainer.evaluation.likelihood import LONGEST_WINDOW
from finetune_trainer.evaluation.loading import load_subject
from finetune_trainer.reporting import Reporter
from finetune_trainer.train.devices import HOST_MEMORY
from questions import ROWS, question_tasks, subject_of


def main(folder: Path, figures: Path) -> None:
    subject = subject_of(folder, Reporter(sys.stderr))
    tokenizer, tasks = subject.tokenizer(), question_tasks(subject)
    model = load_subject(subject, Precision.FLOAT32, HOST_MEMORY)
    examiner = Examiner(model, tokenizer, subject.end_tokens(tokenizer), LONGEST_WINDOW)
    examiner.answer([tasks[0].questions[0].tokens], (), 1)  # warms up
    began, answers = time.monotonic(), {}
    for batch in (batch for task in tasks for batch in batches_of(task, ROWS)):
        assert isinstance(batch, AnswerBatch)
        for prediction in batch.carry_out(examiner):
            answers[prediction.id] = prediction.prediction
    figures.write_text(json.dumps({"seconds": time.monotonic() - began, "answers": answers}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
