"""What a model remembers of tokens that it has seen: keys and values of each layer, kept so that they grow cheaply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

ROOM = 32
"""Tokens that a layer has memory for beyond those that it holds, whenever it is copied."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers has no types
    """Keys and values of shape (rows, heads, tokens, dimensions), which are views of memory that is a little longer.

    `DynamicLayer` copies everything it holds for each new token: more than a third of a small model's time on a CPU.
    """

    keys: torch.Tensor
    values: torch.Tensor
    _room: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends the new tokens', and returns all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        seen = self.get_seq_length()
        total = seen + key_states.shape[-2]
        if self._room is None or self._room[0].shape[-2] < total:
            self._room = (
                _copy_with_room(self.keys, seen, key_states),
                _copy_with_room(self.values, seen, value_states),
            )
        key_room, value_room = self._room
        key_room[..., seen:total, :] = key_states
        value_room[..., seen:total, :] = value_states
        self.keys, self.values = key_room[..., :total, :], value_room[..., :total, :]
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        super().batch_repeat_interleave(repeats)
        self._room = None

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        super().batch_select_indices(indices)
        self._room = None


def growing_cache(config: PreTrainedConfig) -> DynamicCache:
    """An empty cache of the kind that the model needs. Layers that forget old tokens, or keep something else, stay
    transformers' own."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _copy_with_room(kept: torch.Tensor, seen: int, following: torch.Tensor) -> torch.Tensor:
    """Memory for what is kept and what follows, the kept part filled in."""
    rows, heads, more, dimensions = following.shape
    room = following.new_empty(rows, heads, seen + more + ROOM, dimensions)
    if seen:
        room[..., :seen, :] = kept
    return room
