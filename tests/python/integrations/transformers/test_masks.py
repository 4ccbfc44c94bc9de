"""Masks that carry patterns mean what the library's own masks are, written out."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [
    pytest.mark.peer, pytest.mark.once, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]  # fmt: skip

torch = pytest.importorskip("torch")
library = pytest.importorskip("transformers.masking_utils")

from heedful.integrations.transformers._masks import mask  # noqa: E402
from heedful.integrations.transformers._pattern import carried, pattern_of  # noqa: E402

FUNCTIONS = {
    "causal": library.causal_mask_function,
    "bidirectional": library.bidirectional_mask_function,
    **{f"window {size}": library.sliding_window_causal_mask_function(size) for size in (1, 4, 50)},
    **{f"both sides {size}": library.sliding_window_bidirectional_mask_function(size)
       for size in (0, 3, 50)},
}  # fmt: skip
PADDING = {
    None: None,
    "none": torch.ones(2, 11, dtype=torch.bool),
    "left": torch.arange(11) >= torch.tensor([[0], [4]]),
    "right": torch.arange(11) < torch.tensor([[11], [6]]),
    "both": (torch.arange(11) >= torch.tensor([[2], [4]])) & (torch.arange(11) < 9),
}
# (q_length, kv_length, q_offset, kv_offset): whole, after a cache, a cache with empty places, one
# that dropped its first keys, other keys than queries
PLACES = [(11, 11, 0, 0), (5, 11, 6, 0), (7, 17, 0, 0), (5, 8, 6, 3), (3, 11, 0, 0)]


def written_out(found: Any, shape: tuple[int, ...], is_causal: bool) -> Any:
    """What the layers compute with, (2, 1, Lq, Lk)."""
    rows, columns = torch.arange(shape[2])[:, None], torch.arange(shape[3])
    if found is None:
        return (columns <= rows if is_causal else columns >= 0).expand(shape)
    pattern = carried(found)
    if pattern is None:
        assert found.dtype == torch.bool
        return found
    place = rows + pattern.align
    seen = found.bool().expand(shape)
    if pattern.causal:
        seen = seen & (columns <= place)
    if pattern.left is not None:
        seen = seen & (columns >= place - pattern.left)
    if pattern.right is not None:
        seen = seen & (columns <= place + pattern.right)
    return seen


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("tensor_offset", [False, True])
def test_a_mask_hides_what_the_written_one_hides(
    name: str, padding: str | None, place: tuple[int, int, int, int], tensor_offset: bool
) -> None:
    q_length, kv_length, q_offset, kv_offset = place
    causal = "causal" in name or "window" in name
    own: dict[str, Any] = {
        "batch_size": 2, "q_length": q_length, "kv_length": kv_length, "kv_offset": kv_offset,
        "q_offset": torch.tensor(q_offset) if tensor_offset else q_offset,
        "mask_function": FUNCTIONS[name], "attention_mask": PADDING[padding],
    }  # fmt: skip
    expected = library.sdpa_mask(**own, allow_is_causal_skip=False)
    found = mask(**own, allow_is_causal_skip=causal, allow_is_bidirectional_skip=not causal)
    shape = (2, 1, q_length, kv_length)
    assert torch.equal(written_out(found, shape, causal), expected.expand(shape))
    if found is not None:  # nothing of Lq times Lk elements was made
        assert found.untyped_storage().nbytes() <= 64 + 2 * kv_length


def test_views_of_a_mask_keep_its_pattern_and_parts_do_not() -> None:
    found = mask(2, 11, 11, attention_mask=PADDING["left"])
    assert carried(found.detach()) == carried(found) is not None
    for part in (found.clone(), found[:1], found[..., 1:], found[..., :7], found.float()):
        assert carried(part) is None


@pytest.mark.parametrize(
    "function",
    [
        library.chunked_causal_mask_function(4, torch.zeros(2, dtype=torch.int64)),
        library.and_masks(library.causal_mask_function, library.sliding_window_overlay(4)),
        library.or_masks(library.causal_mask_function, library.bidirectional_mask_function),
        library.packed_sequence_mask_function(torch.zeros(2, 11)),
        lambda batch, head, query, key: key <= query,
        library.and_masks(lambda batch, head, query, key: key > query - 4,
                          library.causal_mask_function),
    ],
    ids=["chunked", "other order", "union", "packed", "of the caller", "overlay of the caller"],
)  # fmt: skip
def test_every_other_function_is_written_out(function: Any) -> None:
    assert pattern_of(function) is None
    own = {"batch_size": 2, "q_length": 11, "kv_length": 11, "mask_function": function,
           "attention_mask": PADDING["left"], "local_size": 4}  # fmt: skip
    assert torch.equal(mask(**own), library.sdpa_mask(**own))


@pytest.mark.parametrize("name", ["causal", "bidirectional", "window 4"])
def test_a_mask_that_will_be_joined_with_others_is_written_out(name: str) -> None:
    found = mask(2, 11, 11, mask_function=FUNCTIONS[name], attention_mask=PADDING["left"],
                 allow_is_causal_skip=False)  # fmt: skip
    assert found.shape == (2, 1, 11, 11)
    assert found.dtype == torch.bool


@pytest.mark.parametrize("kind", ["packed", "blocks", "and", "or"])
def test_masks_of_models_with_other_patterns_are_the_librarys(kind: str) -> None:
    from transformers import LlamaConfig

    from heedful.integrations.transformers import register

    register()
    position = torch.cat([torch.arange(5), torch.arange(6)]).expand(2, -1)
    blocks = torch.tensor([-1, -1, 0, 0, 0, -1, 1, 1, -1, -1, -1]).expand(2, -1)
    given: dict[str, Any] = {
        "packed": {"position_ids": position},
        "blocks": {"block_sequence_ids": blocks, "attention_mask": PADDING["left"]},
        "and": {"and_mask_function": lambda b, h, i, j: i - j < 3},
        "or": {"or_mask_function": lambda b, h, i, j: (i < 4) & (j < 4)},
    }[kind]
    found = {}
    for by in ("heedful", "sdpa"):
        config = LlamaConfig(attn_implementation=by)
        arguments = {"attention_mask": None, **given}
        found[by] = library.create_causal_mask(
            config=config, inputs_embeds=torch.zeros(2, 11, 8), cache=None, **arguments
        )
    assert found["sdpa"].shape == (2, 1, 11, 11)
    assert torch.equal(found["heedful"], found["sdpa"])
