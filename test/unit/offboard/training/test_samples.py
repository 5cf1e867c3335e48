from __future__ import annotations

import itertools
import multiprocessing
import os

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.errors import DatasetError  # noqa: E402
from cnn_perception.offboard.training.parallel import TrainingGroup  # noqa: E402
from cnn_perception.offboard.training.samples import Batches, load_batches  # noqa: E402
from tiny_task import NamedSamples, Squares  # noqa: E402


def batches(count: int = 10, batch: int = 4, rank: int = 0, size: int = 1, **squares) -> Batches:
    return Batches(Squares(count, **squares), NamedSamples(), 7, batch, TrainingGroup(rank, size))


def indices(source: Batches, first: int, last: int) -> list[int]:
    loaded = load_batches(source, first, last, 0)
    return list(itertools.chain.from_iterable(batch["index"].tolist() for batch in loaded))


def test_each_image_comes_once_a_round_in_an_order_of_its_own() -> None:
    seen = indices(batches(), 0, 10)
    rounds = [seen[k : k + 10] for k in range(0, 40, 10)]
    assert all(sorted(one) == list(range(10)) for one in rounds)
    assert len({tuple(one) for one in rounds}) == 4


def test_a_batch_depends_on_its_number_alone() -> None:
    source = batches()
    straight = [source[number].tensors for number in range(6)]
    for number in (5, 0, 3, 3):
        again = batches()[number].tensors
        assert all(torch.equal(again[name], straight[number][name]) for name in again)
    numbers = torch.cat([batch["random"] for batch in straight])
    assert len(numbers.unique()) == len(numbers)


def test_seeds_differ() -> None:
    other = Batches(Squares(10), NamedSamples(), 8, 4)
    assert not torch.equal(other[0].tensors["random"], batches()[0].tensors["random"])


def test_members_of_a_group_share_the_images_of_a_round() -> None:
    alone = indices(batches(batch=6), 0, 10)
    together = [indices(batches(batch=2, rank=rank, size=3), 0, 10) for rank in range(3)]
    interleaved = [
        index
        for step in range(0, 20, 2)
        for member in together
        for index in member[step : step + 2]
    ]
    assert interleaved == alone


def test_processes_that_load_change_nothing_and_tell_once_what_they_skip(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = {"broken": [4, 9], "action": "skip"}
    here = list(load_batches(batches(**broken), 1, 9, 0))
    caplog.clear()
    elsewhere = load_batches(batches(**broken), 1, 100_000, 2)
    for batch, other in zip(here, elsewhere, strict=False):
        assert all(torch.equal(batch[name], other[name]) for name in batch)
    assert sorted(record.message for record in caplog.records) == [
        f"skipped: {name} is broken: mend it" for name in ("004.png", "009.png")
    ]
    for process in multiprocessing.active_children():
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # its end raises nothing here
    with pytest.raises(DatasetError, match="ended from outside") as caught:
        list(elsewhere)
    assert "\n" not in str(caught.value)


def test_broken_images_are_replaced_by_their_successors(caplog: pytest.LogCaptureFixture) -> None:
    order = indices(batches(), 0, 5)
    skipping = indices(batches(broken=[4, 9], action="skip"), 0, 5)
    wanted = []
    for place, index in enumerate(order):
        successors = [*order[place // 10 * 10 :][place % 10 : 10], *order[place // 10 * 10 :][:10]]
        wanted.append(next(k for k in successors if k not in (4, 9)))
        assert index not in (4, 9) or wanted[-1] != index
    assert skipping == wanted
    assert [record.message.count("is broken") for record in caplog.records] == [1, 1]


@pytest.mark.parametrize("workers", [0, 1])
def test_broken_image_is_an_error_of_one_line(workers: int) -> None:
    with pytest.raises(DatasetError) as caught:
        list(load_batches(batches(broken=[4]), 0, 5, workers))
    assert str(caught.value) == "004.png is broken: mend it"


def test_nothing_usable_is_an_error() -> None:
    source = batches(3, broken=[0, 1, 2], action="skip")
    for _ in range(2):
        with pytest.raises(DatasetError, match="none of the 3 images can be used"):
            source[0]
    with pytest.raises(DatasetError, match="no images to learn from"):
        batches(0)
