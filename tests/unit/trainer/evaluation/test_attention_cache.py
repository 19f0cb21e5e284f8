"""A cache with room holds what transformers' own holds, and copies only when its room is used up."""

from __future__ import annotations

from copy import deepcopy

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, MistralConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from finetune_trainer.evaluation.attention_cache import ROOM, RoomyLayer, growing_cache

HEADS, DIMENSIONS = 2, 3
LENGTHS = st.integers(1, ROOM + 5)
STEPS = st.lists(
    st.one_of(
        LENGTHS.map(lambda length: ("append", length)),
        st.integers(1, 3).map(lambda repeats: ("repeat", repeats)),
        st.integers(0, 10).map(lambda first: ("select", first)),
        st.just(("copy", 0)),
    ),
    max_size=8,
)


def states(rows: int, length: int) -> torch.Tensor:
    return torch.rand(rows, HEADS, length, DIMENSIONS)


def carried_out(layer: DynamicLayer, kind: str, number: int, new: tuple[torch.Tensor, torch.Tensor]) -> DynamicLayer:
    rows = layer.keys.shape[0]
    match kind:
        case "append":
            layer.update(*new)
        case "repeat":
            layer.batch_repeat_interleave(number)
        case "select":
            layer.batch_select_indices(torch.arange(number % rows, rows).flip(0))
        case "copy":
            return deepcopy(layer)
    return layer


@given(LENGTHS, STEPS)
def test_it_holds_what_the_librarys_layer_holds(first: int, steps: list[tuple[str, int]]) -> None:
    ours, library = RoomyLayer(), DynamicLayer()
    beginning = (states(2, first), states(2, first))
    for layer in (ours, library):
        layer.update(*beginning)
    for kind, number in steps:
        new = (states(library.keys.shape[0], number or 1), states(library.keys.shape[0], number or 1))
        ours, library = carried_out(ours, kind, number, new), carried_out(library, kind, number, new)
        assert torch.equal(ours.keys, library.keys) and torch.equal(ours.values, library.values)
        assert ours.get_seq_length() == library.get_seq_length()


def test_a_token_is_added_without_moving_the_others_until_the_room_is_used_up() -> None:
    layer = RoomyLayer()
    layer.update(states(1, 4), states(1, 4))
    places = []
    for _ in range(ROOM + 1):
        layer.update(states(1, 1), states(1, 1))
        places.append(layer.keys.data_ptr())
    assert len(set(places[:ROOM])) == 1
    assert places[ROOM] != places[0]


def test_a_copy_grows_without_changing_what_it_was_copied_from() -> None:
    layer = RoomyLayer()
    layer.update(states(1, 4), states(1, 4))
    before, copied = layer.keys.clone(), deepcopy(layer)
    copied.update(states(1, 2), states(1, 2))
    layer.update(states(1, 1), states(1, 1))
    assert torch.equal(layer.keys[..., :4, :], before) and torch.equal(copied.keys[..., :4, :], before)
    assert not torch.equal(layer.keys[..., 4, :], copied.keys[..., 4, :])


def test_only_layers_that_keep_every_token_are_replaced() -> None:
    plain = growing_cache(LlamaConfig(num_hidden_layers=2)).layers
    sliding = growing_cache(MistralConfig(num_hidden_layers=2, sliding_window=8)).layers
    assert [type(layer) for layer in plain] == [RoomyLayer] * 2
    assert [type(layer) for layer in sliding] == [DynamicSlidingWindowLayer] * 2
