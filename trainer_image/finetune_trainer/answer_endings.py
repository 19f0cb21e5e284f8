"""Whether answers are learnt with their end: a model that never saw one goes on until it is cut off."""

from __future__ import annotations

from finetune_api.conditions import Reason
from finetune_trainer.failures import UserError
from finetune_trainer.tokenization import EncodingError, Tokenizer

_QUESTION, _ANSWER = "question", "the answer"


def refuse_endless(tokenizer: Tokenizer, manifest_field: str) -> None:
    """UserError (ModelInvalid) where the model names no end that is one token, or its chat template writes none."""
    end = tokenizer.end_token
    if end and tokenizer.end_token_id is None:
        raise _refusal(
            manifest_field,
            f"the eos_token {end!r} of tokenizer_config.json is not one token of tokenizer.json, so the model would "
            "never be seen to stop: name one that is, such as the one whose id generation_config.json gives as "
            "eos_token_id, or add it to the added_tokens of tokenizer.json",
        )
    if tokenizer.has_chat_template:
        _refuse_endless_template(tokenizer, manifest_field)
    elif not end:
        raise _refusal(
            manifest_field,
            "tokenizer_config.json names no eos_token and there is no chat template, so completions would be learnt "
            "without an end and the model would never stop: set eos_token there, to the token whose id "
            "generation_config.json gives as eos_token_id, or add a chat_template.jinja that writes an end",
        )


def _refuse_endless_template(tokenizer: Tokenizer, manifest_field: str) -> None:
    turns = [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}]
    try:
        text = tokenizer.render(turns)
    except EncodingError:
        return  # Which examples it refuses is told by line.
    if not text.rpartition(_ANSWER)[2].strip():
        raise _refusal(
            manifest_field,
            "the model's chat template (chat_template.jinja, or chat_template in tokenizer_config.json) writes "
            "nothing after an answer, so the model would never learn to stop: have it write the end token there; "
            "where it writes eos_token, set that in tokenizer_config.json",
        )


def _refusal(manifest_field: str, what: str) -> UserError:
    return UserError(Reason.MODEL_INVALID, f"{manifest_field}: {what}")
