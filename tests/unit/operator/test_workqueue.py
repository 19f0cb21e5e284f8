"""The work queue: each key once, one worker a key, and a later try after a failure."""

from __future__ import annotations

import asyncio

import pytest

from finetune_operator.workqueue import FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS, WorkQueue

from .simulation import virtual_time


def queue() -> WorkQueue[str]:
    return WorkQueue(asyncio.get_running_loop().time)


async def is_idle(items: WorkQueue[str]) -> bool:
    """Whether nobody gets anything now."""
    try:
        await asyncio.wait_for(items.get(), 0.001)
    except TimeoutError:
        return True
    return False


def test_adding_twice_is_working_once() -> None:
    async def tell() -> None:
        items = queue()
        items.add("a")
        items.add("a")
        assert await items.get() == "a"
        items.done("a")
        assert await is_idle(items)

    virtual_time.run(tell())


def test_adding_while_it_is_worked_on_is_working_once_more_afterwards() -> None:
    async def tell() -> None:
        items = queue()
        items.add("a")
        assert await items.get() == "a"
        items.add("a")
        items.add("a")
        assert await is_idle(items), "never by two workers at once"
        items.done("a")
        assert await items.get() == "a"
        items.done("a")
        assert await is_idle(items)

    virtual_time.run(tell())


def test_nothing_in_the_queue_has_no_age_while_the_clock_goes_on() -> None:
    ticks = iter(range(100))
    assert WorkQueue[str](lambda: float(next(ticks))).oldest_age() == 0


def test_the_oldest_comes_first() -> None:
    async def tell() -> None:
        items = queue()
        for item in ("b", "a", "c"):
            items.add(item)
        assert [await items.get() for _ in range(3)] == ["b", "a", "c"]

    virtual_time.run(tell())


def test_a_waiting_worker_is_woken() -> None:
    async def tell() -> None:
        items = queue()
        asyncio.get_running_loop().call_later(5, items.add, "a")
        assert await items.get() == "a"
        assert asyncio.get_running_loop().time() == pytest.approx(5)

    virtual_time.run(tell())


def test_several_workers_share_the_work() -> None:
    async def tell() -> None:
        items = queue()
        taken: list[str] = []

        async def work() -> None:
            while True:
                item = await items.get()
                taken.append(item)
                await asyncio.sleep(1)
                items.done(item)

        workers = [asyncio.create_task(work()) for _ in range(4)]
        for number in range(8):
            items.add(str(number))
        await asyncio.sleep(2.5)
        assert sorted(taken) == [str(number) for number in range(8)]
        for worker in workers:
            worker.cancel()

    virtual_time.run(tell())


def test_pauses_double_with_each_failure_in_a_row_up_to_a_limit() -> None:
    async def tell() -> None:
        items = queue()
        pauses = []
        items.add("a")
        for _ in range(12):
            await items.get()
            pauses.append(items.failed("a"))
        assert pauses[:3] == [FIRST_BACKOFF_SECONDS, 2 * FIRST_BACKOFF_SECONDS, 4 * FIRST_BACKOFF_SECONDS]
        assert pauses[-1] == LONGEST_BACKOFF_SECONDS
        await items.get()
        items.done("a")
        items.add("a")
        await items.get()
        assert items.failed("a") == FIRST_BACKOFF_SECONDS, "a success forgets the failures"

    virtual_time.run(tell())


def test_a_failure_of_one_delays_no_other() -> None:
    async def tell() -> None:
        items = queue()
        items.add("a")
        await items.get()
        items.failed("a")
        items.add("b")
        assert await items.get() == "b"
        assert await items.get() == "a"
        assert asyncio.get_running_loop().time() == pytest.approx(FIRST_BACKOFF_SECONDS)

    virtual_time.run(tell())


@pytest.mark.parametrize("seconds", [(10, 3), (3, 10)])
def test_of_several_wishes_to_look_again_the_earliest_counts(seconds: tuple[float, float]) -> None:
    async def tell() -> None:
        items = queue()
        for pause in seconds:
            items.add_after("a", pause)
        await items.get()
        assert asyncio.get_running_loop().time() == pytest.approx(3)
        items.done("a")
        await asyncio.sleep(20)
        assert len(items) == 0

    virtual_time.run(tell())


def test_a_key_that_was_asked_to_stay_away_comes_no_sooner_whoever_asks_for_it() -> None:
    async def tell() -> None:
        items = queue()
        items.add("a")
        await items.get()
        items.add_after("a", 3)
        assert items.failed("a", 20) == 20
        await asyncio.sleep(10)
        items.add("a")
        assert await is_idle(items)
        await items.get()
        assert asyncio.get_running_loop().time() == pytest.approx(20)
        items.done("a")
        items.add("a")
        assert await items.get() == "a", "afterwards it comes as any other"

    virtual_time.run(tell())


def test_nobody_is_sent_away_for_longer_than_the_longest_pause() -> None:
    async def tell() -> None:
        items = queue()
        items.add("a")
        await items.get()
        assert items.failed("a", 10**6) == LONGEST_BACKOFF_SECONDS

    virtual_time.run(tell())


def test_the_age_is_that_of_what_waits_or_is_worked_on_longest() -> None:
    """A worker that hangs is as bad as none."""

    async def tell() -> None:
        items = queue()
        assert items.oldest_age() == 0
        items.add("a")
        await asyncio.sleep(7)
        items.add("b")
        items.add("a")
        assert items.oldest_age() == pytest.approx(7), "asking again makes it no younger"
        assert len(items) == 2
        await items.get()
        assert items.oldest_age() == pytest.approx(0)
        await asyncio.sleep(9)
        assert items.oldest_age() == pytest.approx(9)
        items.done("a")
        await items.get()
        items.done("b")
        assert items.oldest_age() == 0

    virtual_time.run(tell())
