"""Prompts have the same tokens in preparing, training and evaluating, and the tokens that transformers gives them."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from finetune_trainer.chat_template import ChatTemplate, ChatTemplateError
from finetune_trainer.dataset.examples import Conversation, Message, PromptCompletion, Role
from finetune_trainer.tokenization import EncodingError, Tokenizer

EXAMPLE = PromptCompletion("The company earned $3.14 per share.", "3.14")
CONVERSATION = Conversation(
    (
        Message(Role.SYSTEM, "Answer briefly."),
        Message(Role.USER, "EPS?"),
        Message(Role.ASSISTANT, "1.00"),
        Message(Role.USER, "And now?"),
        Message(Role.ASSISTANT, "2.00"),
    )
)


@pytest.mark.parametrize("example", [EXAMPLE, CONVERSATION])
def test_the_tokens_are_those_of_transformers(tiny_model: Path, example: PromptCompletion | Conversation) -> None:
    reference = AutoTokenizer.from_pretrained(tiny_model)
    encoded = Tokenizer.load(tiny_model).encode_example(example)
    messages = list(example.messages)
    prompt = reference.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=False)
    assert list(encoded.tokens) == reference.apply_chat_template(messages, return_dict=False)
    assert encoded.prompt_length == len(prompt)


def test_only_the_last_answer_is_learnt(tiny_model: Path) -> None:
    tokenizer = Tokenizer.load(tiny_model)
    encoded = tokenizer.encode_example(CONVERSATION)
    learnt = [label for label in encoded.labels if label != -100]
    assert tokenizer.decode(learnt) == "2.00"
    assert learnt[-1] == tokenizer.end_token_id


def test_a_question_has_the_tokens_that_its_example_begins_with(tiny_model: Path) -> None:
    tokenizer = Tokenizer.load(tiny_model)
    encoded = tokenizer.encode_example(EXAMPLE)
    assert tokenizer.encode_question(EXAMPLE.prompt) == encoded.tokens[: encoded.prompt_length]


def test_without_chat_template_a_token_across_the_seam_does_not_change_the_prompt(own_model: Path) -> None:
    (own_model / "tokenizer_config.json").write_text('{"eos_token": "<|end|>"}')
    tokenizer = Tokenizer.load(own_model)
    seam = PromptCompletion("The earnings per sh", "are")
    encoded = tokenizer.encode_example(seam)
    assert tokenizer.encode_text("share") != tokenizer.encode_text("sh") + tokenizer.encode_text("are")
    assert encoded.tokens[: encoded.prompt_length] == tokenizer.encode_question(seam.prompt)
    assert tokenizer.decode(encoded.tokens) == "The earnings per share"


def test_a_completion_without_an_end_is_not_encoded(own_model: Path) -> None:
    (own_model / "tokenizer_config.json").write_text("{}")
    with pytest.raises(EncodingError, match="names no end token"):
        Tokenizer.load(own_model).encode_example(EXAMPLE)


def test_saved_truncation_and_padding_are_ignored(own_model: Path) -> None:
    import tokenizers

    saved = tokenizers.Tokenizer.from_file(str(own_model / "tokenizer.json"))
    saved.enable_truncation(4)
    saved.enable_padding(length=99)
    saved.save(str(own_model / "tokenizer.json"))
    assert len(Tokenizer.load(own_model).encode_text("a b c d e f g h")) not in (4, 99)


def test_the_template_of_a_file_is_used_before_that_of_the_configuration(own_model: Path) -> None:
    (own_model / "chat_template.jinja").write_text("{{ messages[0]['content'] }}!")
    tokenizer = Tokenizer.load(own_model)
    assert tokenizer.decode(tokenizer.encode_question("hello")) == "hello!"


def test_of_several_templates_the_default_is_used(own_model: Path) -> None:
    (own_model / "tokenizer_config.json").write_text(
        '{"chat_template": [{"name": "tools", "template": "T"}, {"name": "default", "template": "D"}]}'
    )
    tokenizer = Tokenizer.load(own_model)
    assert tokenizer.decode(tokenizer.encode_question("hello")) == "D"


def test_a_template_that_asks_otherwise_than_it_writes_is_told(own_model: Path) -> None:
    (own_model / "chat_template.jinja").write_text(
        "{% for message in messages %}{{ message['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}[answer]{% endif %}"
    )
    with pytest.raises(EncodingError, match="prompt and completion cannot be told apart"):
        Tokenizer.load(own_model).encode_example(EXAMPLE)


def test_the_cut_keeps_the_beginning(tiny_model: Path) -> None:
    encoded = Tokenizer.load(tiny_model).encode_example(EXAMPLE)
    cut = encoded.cut(encoded.prompt_length + 1)
    assert cut.tokens == encoded.tokens[: encoded.prompt_length + 1]
    assert (cut.trainable, len(cut.labels)) == (1, len(cut.tokens))
    assert encoded.cut(3).trainable == 0


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ messages.append({'role': 'user'}) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
    ],
)
def test_a_template_does_not_reach_out_of_its_sandbox(template: str) -> None:
    with pytest.raises(ChatTemplateError):
        ChatTemplate(template, {}).render([{"role": "user", "content": "a"}], add_generation_prompt=True)


def test_generation_marks_loop_controls_and_json_are_understood() -> None:
    template = (
        "{% for message in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
        "{% generation %}{{ message | tojson }}{% endgeneration %}{% endfor %}{{ bos_token }}"
    )
    messages = [{"role": "user", "content": "<é>"}, {"role": "assistant", "content": "b"}]
    text = ChatTemplate(template, {"bos_token": "<s>"}).render(messages, add_generation_prompt=False)
    assert text == '{"role": "user", "content": "<é>"}<s>'
