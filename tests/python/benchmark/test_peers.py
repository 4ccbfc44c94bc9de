"""Every library that is installed computes what the benchmarks think it computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

import heedful
import reference
from heedful.benchmark import oracle, peers
from heedful.benchmark.process import WorkerProcess
from heedful.benchmark.shapes import Case, Shape, make_inputs
from heedful.benchmark.worker import encode_case

pytestmark = pytest.mark.slow

PLAIN = Shape("plain", 2, 3, 3, 11, 17, 8)
RAGGED = Shape("ragged", 3, 6, 2, 17, 17, 8, padding=(5, 17), ragged="padded")
CASES = {
    "plain": Case(PLAIN),
    "float64": Case(PLAIN, "float64"),
    "float16": Case(PLAIN, "float16"),
    "bfloat16": Case(PLAIN, "bfloat16"),
    "causal": Case(Shape("causal", 2, 3, 3, 13, 13, 8, causal=True)),
    "grouped": Case(Shape("grouped", 2, 6, 2, 13, 13, 8, causal=True)),
    "bias": Case(Shape("bias", 2, 3, 3, 11, 17, 8, bias=True)),
    "mask": Case(Shape("mask", 2, 3, 3, 11, 17, 8, mask=True)),
    "lengths": Case(Shape("lengths", 3, 2, 2, 11, 17, 8, padding=(2, 17))),
    "window": Case(Shape("window", 2, 3, 3, 13, 13, 8, window=(3, 2))),
    "decode": Case(Shape("decode", 2, 6, 2, 1, 37, 8)),
    "grouped_open": Case(Shape("grouped_open", 2, 6, 2, 13, 17, 8)),
    "long_cache": Case(Shape("long_cache", 2, 6, 3, 1, 131_072, 8)),  # goes round copies
    "padded": Case(RAGGED),
    "packed": Case(dataclasses.replace(RAGGED, ragged="packed")),
    "backward_padded": Case(RAGGED, backward=True),
    "backward_packed": Case(dataclasses.replace(RAGGED, ragged="packed"), backward=True),
    "backward": Case(PLAIN, backward=True),
    "backward_grouped": Case(Shape("backward_grouped", 2, 6, 2, 13, 13, 8, True), backward=True),
    "backward_bias": Case(Shape("backward_bias", 2, 3, 3, 11, 17, 8, bias=True), backward=True),
}
CASES |= {
    f"{name}_in_blhd": dataclasses.replace(case, layout="blhd") for name, case in CASES.items()
}
# What a library cannot do, and says so.
BACKWARD = {name for name, case in CASES.items() if case.backward}
LENGTHS = {name for name, case in CASES.items() if case.shape.ragged}


@pytest.fixture(autouse=True)
def default_threads_afterwards() -> Iterator[None]:
    """A library in this process sets the number of threads for all of it."""
    yield
    heedful.set_num_threads(None)


def of(dtype: str) -> set[str]:
    return {name for name, case in CASES.items() if case.dtype == dtype}


REFUSED = {
    "numpy": {*of("float16"), *of("bfloat16"), *LENGTHS},
    "torch": LENGTHS,
    "heedful": set(),
    "jax": {*of("float16"), *of("float64"), *LENGTHS},
    "onnxruntime": {*of("float64"), *of("bfloat16"), *BACKWARD, *LENGTHS},
    "openvino": {*of("float64"), *BACKWARD, *LENGTHS},
}


LIBRARIES = [
    pytest.param(name, marks=[pytest.mark.peer, pytest.mark.once] if modules else [])
    for name, modules in peers.MODULES.items()
]


@pytest.fixture(scope="module", params=LIBRARIES)
def worker(request: pytest.FixtureRequest) -> Iterator[WorkerProcess]:
    if missing := peers.missing(request.param):
        pytest.skip(f"{request.param} needs {', '.join(missing)}")
    process = WorkerProcess(request.param, threads=2)
    yield process
    process.close()


@pytest.mark.parametrize("name", CASES)
def test_a_library_agrees_with_float64_in_every_way_it_offers(
    worker: WorkerProcess, name: str
) -> None:
    case = CASES[name]
    if case.dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    sample = oracle.choose_sample(case)
    answer = worker.ask(
        "prepare", slot=0, case=encode_case(case), sample=dataclasses.asdict(sample)
    )
    if name in REFUSED[worker.library]:
        assert "ways" not in answer
        return
    right = oracle.expected(case, make_inputs(case), sample)
    assert answer["ways"]
    for way in answer["ways"]:
        rows = [np.asarray(array) for array in way["rows"]]
        assert oracle.error(rows, right) < oracle.TOLERANCE[case.dtype], way["name"]


@pytest.mark.once
@pytest.mark.parametrize("name", CASES)
def test_the_expected_rows_are_those_of_the_reference(name: str) -> None:
    case = CASES[name]
    if case.dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    inputs, shape = make_inputs(case), case.shape
    arrays = [array.astype(np.float64) for array in (inputs.query, inputs.key, inputs.value)]
    options = {"mask": inputs.seen, "bias": inputs.bias, "causal": shape.causal}
    if inputs.q_lengths is not None:
        options["q_lengths"] = inputs.q_lengths
    sample = oracle.choose_sample(case)
    results = [reference.attention(*arrays, **options).out]
    if case.backward:
        dout = inputs.dout.astype(np.float64)
        gradients = reference.attention_backward(dout, *arrays, **options)
        results += [gradients.query, gradients.key, gradients.value]
    for got, want in zip(
        oracle.expected(case, inputs, sample), oracle.take(sample, results), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


@pytest.mark.once
def test_a_worker_answers_after_a_case_that_failed() -> None:
    worker = WorkerProcess("numpy", threads=1)
    try:
        assert "failed" in worker.ask("prepare", slot=0, case={}, sample={})
        assert "failed" in worker.ask("turn", slot=0, way=0, seconds=0.01)
        case = CASES["plain"]
        sample = dataclasses.asdict(oracle.choose_sample(case))
        assert "ways" in worker.ask("prepare", slot=0, case=encode_case(case), sample=sample)
        times = worker.ask("turn", slot=0, way=0, seconds=0.01)["times"]
        assert all(0 < seconds < 1 for seconds in times)
    finally:
        worker.close()


@pytest.mark.once
def test_torch_is_also_called_in_the_way_that_reads_each_key_once() -> None:
    if peers.missing("torch"):
        pytest.skip("torch is not installed")
    from heedful.benchmark.peers._torch import create

    names = {}
    for name in ("grouped_open", "grouped", "plain", "decode"):
        case = CASES[name]
        names[name] = [way.name for way in create(1).ways(case, make_inputs(case))]
    grouped = ["SDPA", "SDPA, grouped"]
    assert names["grouped_open"] == names["decode"] == grouped
    assert names["grouped"] == names["plain"] == ["SDPA"]


@pytest.mark.once
def test_torch_may_copy_what_is_not_contiguous() -> None:
    if peers.missing("torch"):
        pytest.skip("torch is not installed")
    from heedful.benchmark.peers._torch import create

    for name in ("plain", "backward"):
        case = dataclasses.replace(CASES[name], layout="blhd")
        ways = [way.name for way in create(1).ways(case, make_inputs(case))]
        assert ways == ["SDPA", "SDPA, copied"]


@pytest.mark.once
@pytest.mark.parametrize("name", ["torch", "heedful", "numpy"])
def test_libraries_read_the_second_layout_in_place(name: str) -> None:
    if peers.missing(name):
        pytest.skip(f"{name} is not installed")
    case = Case(PLAIN, layout="blhd")
    inputs = make_inputs(case)
    way = peers.load(name, 1).ways(case, inputs)[0]
    inputs.value[:] = 1.0  # what the library holds is a view: it sees the change
    np.testing.assert_allclose(way.read(way.run())[0], 1.0, rtol=1e-5)


def test_digests_of_every_number_of_threads_are_returned() -> None:
    worker = WorkerProcess("heedful", threads=2)
    try:
        case = encode_case(Case(PLAIN, backward=True))
        digests = worker.ask("digests", case=case, threads=[1, 2, 3])["digests"]
        assert len(digests) == 3
        assert len(set(digests)) == 1
        other = worker.ask("digests", case=encode_case(CASES["causal"]), threads=[1])["digests"]
        assert other != digests[:1]
    finally:
        worker.close()
