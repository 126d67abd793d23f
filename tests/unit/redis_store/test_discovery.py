"""Several informants are asked at once: who is heard, and that whoever asks can be told to stop."""

import asyncio

import pytest

from anypod.redis_store.topology.discovery import ANSWER_S, answers


async def answer(number: int, *, after_turns: int = 0) -> int:
    for _ in range(after_turns):
        await asyncio.sleep(0)
    return number


async def fail() -> int:
    raise ConnectionRefusedError


async def nonsense() -> int:
    return int("+OK")


async def silence() -> int:
    await asyncio.get_running_loop().create_future()
    return 0


async def test_enough_answers_end_the_wait_for_the_others() -> None:
    assert await answers([silence(), answer(1), fail(), answer(2)], enough=2) == [1, 2]


async def test_when_there_are_enough_the_others_have_a_moment() -> None:
    assert await answers([answer(3, after_turns=50), answer(1), answer(2)], enough=2) == [1, 2]
    assert sorted(await answers([answer(3, after_turns=50), answer(1), answer(2)], enough=2, grace_s=10.0)) == [1, 2, 3]
    began = asyncio.get_running_loop().time()
    assert await answers([silence(), answer(1), answer(2)], enough=2, grace_s=0.05) == [1, 2]
    assert asyncio.get_running_loop().time() - began < ANSWER_S / 2


async def test_an_informant_that_fails_is_not_an_answer() -> None:
    assert await answers([fail(), answer(1)], enough=2) == [1]


async def test_what_is_not_understood_keeps_nobody_else_from_being_heard(caplog: pytest.LogCaptureFixture) -> None:
    assert await answers([nonsense(), answer(1), answer(2)], enough=2) == [1, 2]
    assert "what a server says of the others is not understood: ValueError" in caplog.text
    assert "+OK" not in caplog.text


@pytest.mark.parametrize("turns", range(1, 20))
async def test_a_cancellation_is_never_lost_whatever_arrives_with_it(turns: int) -> None:
    """Python 3.11's `asyncio.wait_for` drops one that comes together with the answer: a link that is told to stop would go on for ever."""
    asking = asyncio.create_task(answers([answer(1, after_turns=3)], enough=1))
    for _ in range(turns):
        await asyncio.sleep(0)
    if asking.cancel():
        with pytest.raises(asyncio.CancelledError):
            await asking
    else:
        assert asking.result() == [1]
