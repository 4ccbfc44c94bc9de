"""Keys in chunks of Dask or zarr give what the reference gives for whole arrays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from case import Case
from pieced_cases import CASES

import heedful
import reference

da = pytest.importorskip("dask.array")

from heedful.integrations.dask import attention, attention_vjp  # noqa: E402

pytestmark = [pytest.mark.once, pytest.mark.peer]

ROWS, KEYS = 6, 5  # of a chunk


def chunked(array: Any, axis: int, size: int) -> Any:
    return da.from_array(array, {axis % array.ndim: size})


def close(found: Any, wanted: Any, what: str = "") -> None:
    found = np.asarray(found)
    assert found.shape == np.shape(wanted), what
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12, err_msg=what)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_chunks_give_what_whole_arrays_give(case: Case) -> None:
    call = case.draw()
    out, lse = call.run(reference.attention)[:2]
    wanted = reference.attention_backward(call.dout, *call.inputs, dlse=call.dlse, **call.options)
    (found, found_lse), pullback = attention_vjp(
        chunked(call.query, -2, ROWS), chunked(call.key, -2, KEYS), chunked(call.value, -2, 7),
        return_lse=True, **call.options,
    )  # fmt: skip
    close(found, out, "out")
    close(found_lse, lse, "lse")
    for name, gradient, exact in zip(
        wanted._fields, da.compute(*pullback(call.dout, call.dlse)), wanted, strict=True
    ):
        assert (gradient is None) == (exact is None), name
        if exact is not None:
            close(gradient, exact, name)


def test_numpy_arrays_and_the_layout_of_length_first(rng: np.random.Generator) -> None:
    query = rng.standard_normal((2, 5, 4, 3))
    key, value = rng.standard_normal((2, 2, 23, 2, 3))
    turned = [array.swapaxes(1, 2) for array in (query, key, value)]
    exact = reference.attention(*turned, causal=True, align=18)
    found, lse = attention(
        query, chunked(key, 1, 7), value, causal=True, align=18, layout="blhd", return_lse=True
    )
    close(found.compute().swapaxes(1, 2), exact.out)
    close(lse, exact.lse)


def test_zarr_arrays_and_masks_of_dask(tmp_path: Path, rng: np.random.Generator) -> None:
    zarr = pytest.importorskip("zarr")
    query, key, value = rng.standard_normal((3, 2, 40, 3))
    mask = rng.random((40, 40)) < 0.4
    stored = [
        zarr.create_array(tmp_path / name, data=array, chunks=(1, 8, 3))
        for name, array in (("key", key), ("value", value))
    ]
    lazy = da.from_array(mask, (9, 11))
    exact = reference.attention(query, key, value, mask=mask).out
    close(attention(query, *stored, mask=lazy), exact)
    parts = [da.from_zarr(array) for array in stored]
    out, pullback = attention_vjp(query, *parts, mask=lazy)
    close(out, exact)
    gradients = pullback(np.ones_like(exact))
    wanted = reference.attention_backward(np.ones_like(exact), query, key, value, mask=mask)
    for array, gradient, right in zip(parts, gradients[1:3], wanted[1:3], strict=True):
        assert gradient.chunks == array.chunks, "stored chunk by chunk"
        target = zarr.create_array(tmp_path / "gradient", shape=(2, 40, 3), chunks=(1, 8, 3),
                                   dtype=float, overwrite=True)  # fmt: skip
        da.store(gradient, target, lock=False)
        close(target[:], right)


def test_hidden_chunks_are_not_loaded(rng: np.random.Generator) -> None:
    loaded: list[int] = []

    def load(block: Any, block_info: Any) -> Any:
        loaded.append(block_info[0]["chunk-location"][-2])
        return block

    query, key = rng.standard_normal((4, 3)), rng.standard_normal((40, 3))
    watched = chunked(key, 0, 5).map_blocks(load, dtype=key.dtype, meta=key[:0])
    options: dict[str, Any] = {"causal": True, "window": (6, None), "align": 13}
    exact = reference.attention(query, key, key, **options).out
    close(attention(query, watched, key, **options), exact)
    assert set(loaded) == {1, 2, 3}  # keys 7 to 16
    _, pullback = attention_vjp(query, watched, key, **options)
    assert not pullback(np.ones_like(exact)).key[25:].compute().any()


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_types_are_those_of_the_inputs(name: str, rng: np.random.Generator) -> None:
    dtype = np.dtype(name) if name != "bfloat16" else pytest.importorskip("ml_dtypes").bfloat16
    query, key, value = (rng.standard_normal((2, 30, 3)).astype(dtype) for _ in range(3))
    out, pullback = attention_vjp(query, chunked(key, 1, 4), value)
    whole, whole_pullback = heedful.attention_vjp(query, key, value)
    assert out.dtype == out.compute().dtype == dtype
    epsilon = 1e-6 if name == "float32" else 2.0 ** -(10 if name == "float16" else 7)
    wide = [array.astype(np.float64) for array in (query, key, value)]
    exact = reference.attention(*wide).out
    np.testing.assert_allclose(out.compute().astype(float), exact, rtol=epsilon, atol=epsilon)
    for gradient, right in zip(pullback(whole)[:3], whole_pullback(whole)[:3], strict=True):
        found = gradient.compute()
        assert gradient.dtype == found.dtype == dtype
        np.testing.assert_allclose(
            found.astype(float), right.astype(float), rtol=2 * epsilon, atol=2 * epsilon
        )


def test_tasks_use_the_threads_that_they_are_given(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    numbers = []
    attend = heedful.attention

    def watched(*arrays: Any, **options: Any) -> Any:
        numbers.append(heedful.get_num_threads())
        return attend(*arrays, **options)

    query, key = rng.standard_normal((2, 30, 3))
    for given in (1, 3):
        out = attention(query, chunked(key, 0, 9), key, num_threads=given)
        with monkeypatch.context() as patch:
            patch.setattr(heedful, "attention", watched)
            out.compute(scheduler="threads")
        assert numbers == [given] * 4
        numbers.clear()


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({"num_threads": 0}, ValueError, "num_threads must be a positive integer: got 0"),
        ({"causal": True}, ValueError, "align must be 'upper_left' or 'lower_right', or the numb"),
        ({"causal": True, "align": "left"}, ValueError, "align must be 'upper_left' or 'lower_ri"),
        ({"causal": True, "align": [1, 2]}, ValueError, r"align must have shape \(\)"),
        ({"mask": np.ones((3, 9))}, TypeError, "mask must be boolean"),
        ({"bias": np.ones((3, 8))}, ValueError, r"bias must broadcast .* \(3, 9\): got .* \(3, 8"),
        (
            {"bias": np.ones((3, 9), int)},
            TypeError,
            "bias must be of type float32",
        ),
        ({"kv_lengths": 10}, ValueError, "kv_lengths must lie between 0 and 9: got 10"),
        ({"kv_lengths": [1, 2]}, ValueError, r"kv_lengths must have shape \(\)"),
        ({"window": (-1, 0)}, ValueError, "window must hold no negative number"),
        ({"softcap": 0}, ValueError, "softcap must be finite and above 0"),
        ({"sink": np.ones(2)}, ValueError, r"sink must have shape \(1,\)"),
        ({"layout": "lbhd"}, ValueError, "layout must be 'bhld' or 'blhd'"),
        ({"value": np.ones((8, 2))}, ValueError, "value and key must have the same length"),
        ({"key": np.ones((9, 4))}, ValueError, "key and query must have the same depth"),
        ({"key": np.ones(9)}, ValueError, "key must have two axes at least"),
        ({"key": np.ones((9, 2), complex)}, TypeError, "key"),
    ],
)
def test_wrong_arguments_are_refused_before_any_task(
    wrong: dict[str, Any], kind: type[Exception], message: str
) -> None:
    given = {"query": np.ones((3, 2)), "key": np.ones((9, 2)), "value": np.ones((9, 2))} | wrong
    with pytest.raises(kind, match=message):
        attention(**given)


def test_gradients_of_another_shape_are_refused() -> None:
    _, pullback = attention_vjp(np.ones((3, 2)), np.ones((9, 2)), np.ones((9, 2)))
    with pytest.raises(ValueError, match=r"dout must have shape \(3, 2\): got shape \(2, 3\)"):
        pullback(np.ones((2, 3)))


def test_chunks_of_unknown_sizes_are_refused() -> None:
    key = chunked(np.ones((9, 2)), 0, 3)
    with pytest.raises(ValueError, match="key must have chunks of known sizes"):
        attention(np.ones((3, 2)), key[key[:, 0] > 0], key)


def test_without_dask_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("heedful.integrations.dask")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dask.array", None)
    with pytest.raises(ImportError, match=r"heedful.integrations.dask needs .* pip install"):
        import heedful.integrations.dask  # noqa: F401


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of Tornado's sockets, when it closes
def test_workers_of_a_cluster(rng: np.random.Generator) -> None:
    distributed = pytest.importorskip("distributed")
    query, key, value = rng.standard_normal((3, 2, 24, 3))
    exact = reference.attention(query, key, value).out
    wanted = reference.attention_backward(np.ones_like(exact), query, key, value)
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        out, pullback = attention_vjp(query, chunked(key, 1, 5), chunked(value, 1, 5))
        close(out.compute(), exact)
        gradients = client.gather(client.compute(list(pullback(np.ones_like(exact))[:3])))
    for found, right in zip(gradients, wanted[:3], strict=True):
        close(found, right)
