"""What exactly a model is asked, as a digest: two models that were asked alike have the same one."""

from __future__ import annotations

import hashlib

from finetune_trainer.digests import PREFIX
from finetune_trainer.evaluation.questions import body, refused_by_template
from finetune_trainer.suites.model import Example, LoadedSuite
from finetune_trainer.tokenization import EncodingError, Tokenizer


def prompts_digest(suite: LoadedSuite, tokenizer: Tokenizer) -> str:
    """sha256 over the bytes of all prompts, as the chat template writes them, in the suite's order. Raw texts of
    perplexity tasks are no prompts: the suite's digest covers them. UserError (SuiteInvalid) where the template refuses
    an example."""
    hasher = hashlib.sha256()
    for task in suite.suite.scored_tasks:
        for example in suite.examples[task.name]:
            written = _written(tokenizer, example).encode()
            # With its length, so that no prompt can pass for the end of the one before it.
            hasher.update(f"{example.id} {len(written)}\n".encode() + written)
    return PREFIX + hasher.hexdigest()


def _written(tokenizer: Tokenizer, example: Example) -> str:
    try:
        return tokenizer.prompt_text(body(tokenizer, example))
    except EncodingError as error:
        raise refused_by_template(example, error) from error
