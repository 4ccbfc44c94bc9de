"""What AttentionMonitor tells: warnings, numbers for TensorBoard, pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from monitored import classifier, train

from heedful.training import AttentionMonitor


def test_every_head_is_written_for_tensorboard() -> None:
    written: dict[tuple[str, int], float] = {}

    class Writer:
        def add_scalar(self, tag: str, value: float, step: int) -> None:
            written[tag, step] = value

    model, monitor = classifier(), AttentionMonitor(every=3, writer=Writer())
    train(model, monitor)
    assert len(written) == 3 * 6 * 2
    assert written["0/entropy/1", 3] == monitor.history["0"]["entropy"][1][1]


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the two libraries
def test_what_tensorboard_itself_reads_is_the_history(tmp_path: Path) -> None:
    writers = pytest.importorskip("tensorboardX")
    readers = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with writers.SummaryWriter(str(tmp_path)) as writer:
        monitor = AttentionMonitor(every=3, writer=writer)
        train(classifier(), monitor)
    events = readers.EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    events.Reload()
    assert len(events.Tags()["scalars"]) == 6 * 2
    for statistic, rows in monitor.history["0"].items():
        for head, expected in enumerate(np.array(rows).T):
            scalars = events.Scalars(f"0/{statistic}/{head}")
            assert [one.step for one in scalars] == monitor.steps == [0, 3, 6]
            np.testing.assert_array_equal([one.value for one in scalars], expected.astype("f"))


def test_it_warns_once_where_weights_collapse_and_scores_explode() -> None:
    model, monitor = classifier(), AttentionMonitor(every=3)
    model[0].in_proj_weight *= 60
    model.optimizer.lr = 0.0
    with pytest.warns(UserWarning, match="at step 0") as caught:
        train(model, monitor)
    messages = [str(one.message) for one in caught]
    assert [finding.message for finding in monitor.findings] == messages
    assert len(messages) == 2
    assert messages[0].startswith("the weights of '0' collapse at step 0: the mean entropy of its ")
    assert messages[1].startswith("the scores of '0' explode at step 0: the largest, of head ")
    for message in messages:
        assert 'try qk_norm="rms" or "l2", a lower learning rate' in message
    assert [finding.step for finding in monitor.findings] == [0, 0]
    assert monitor.findings[1].layer == "0"
    largest = monitor.history["0"]["largest_score"][0]
    assert monitor.findings[1].head == largest.argmax()


def test_it_does_not_warn_where_all_is_well_or_where_it_should_not() -> None:
    train(classifier(), AttentionMonitor(every=1))
    model = classifier()
    model[0].in_proj_weight *= 60
    model.optimizer.lr = 0.0
    train(model, AttentionMonitor(every=1, min_evenness=0.0, max_score=1e9))


def test_a_picture_is_returned_and_not_shown() -> None:
    pytest.importorskip("matplotlib")
    model, monitor = classifier(), AttentionMonitor(every=2)
    train(model, monitor)
    axes = monitor.plot("largest_weight")
    (line,) = axes.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [0, 2, 4, 6])
    rows = np.array(monitor.history["0"]["largest_weight"])
    np.testing.assert_allclose(line.get_ydata(), rows.mean(1))
    assert axes.get_ylabel() == "largest weight"
    assert monitor.plot(ax=axes) is axes
    with pytest.raises(ValueError, match=r"statistic must be 'entropy' or 'evenness'.*got 'size'"):
        monitor.plot("size")
    code = (
        "import sys, warnings; from heedful.training import AttentionMonitor\n"
        "AttentionMonitor().plot(); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
