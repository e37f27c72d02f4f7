"""Pointers to live versions: what was live, since when and by whom, and what a roll-back leads to."""

import asyncio

from redis.asyncio import Redis

from service.state import keys, sources
from service.state.sources import Activation, standing


async def test_activations_are_noted_with_time_and_author(redis: Redis) -> None:
    assert await sources.activate_first(redis, "s", "1", at=1.0)
    assert not await sources.activate_first(redis, "s", "9", at=2.0)
    assert await sources.activate(redis, "s", "2", at=3.5, by="ada")
    assert await sources.activations(redis, "s") == [
        Activation("1", "first", 1.0),
        Activation("2", "activated", 3.5, "ada"),
    ]
    assert await sources.live_bundle(redis, "s") == "2"


async def test_a_pointer_from_before_they_were_noted_is_the_first(redis: Redis) -> None:
    await redis.set(keys.live_bundle("s"), "7")
    await sources.activate(redis, "s", "8", at=1.0, by="ada")
    made = await sources.activations(redis, "s")
    assert made == [Activation("7", "first"), Activation("8", "activated", 1.0, "ada")]
    assert standing(made) == ["7", "8"]


async def test_only_one_of_two_roll_backs_at_once_is_done(redis: Redis) -> None:
    for version in ("1", "2", "3"):
        await sources.activate(redis, "s", version)
    back = [sources.activate(redis, "s", "2", how="rolled_back", instead_of="3") for _ in range(2)]
    assert sorted(await asyncio.gather(*back)) == [False, True]
    assert standing(await sources.activations(redis, "s")) == ["1", "2"]


async def test_the_history_is_short(redis: Redis) -> None:
    for number in range(keys.ACTIVATIONS_KEPT + 5):
        await sources.activate(redis, "s", str(number))
    made = await sources.activations(redis, "s")
    assert len(made) == keys.ACTIVATIONS_KEPT
    assert made[-1].version == str(keys.ACTIVATIONS_KEPT + 4)


async def test_a_shadow_that_goes_live_is_none_any_more(redis: Redis) -> None:
    await sources.activate(redis, "s", "1")
    await sources.set_shadow(redis, "s", "2")
    await sources.activate(redis, "s", "3")
    assert await sources.shadow(redis, "s") == "2"
    await sources.activate(redis, "s", "2")
    assert await sources.shadow(redis, "s") is None
    await sources.set_shadow(redis, "s", "3")
    await sources.set_shadow(redis, "s", None)
    assert await sources.shadow(redis, "s") is None


def test_versions_that_stand_are_those_that_were_not_rolled_back() -> None:
    def made(*steps: str) -> list[Activation]:
        return [Activation(step.strip("<"), "rolled_back" if "<" in step else "activated") for step in steps]

    assert standing([]) == []
    assert standing(made("1", "2", "3")) == ["1", "2", "3"]
    assert standing(made("1", "2", "3", "<2")) == ["1", "2"]
    assert standing(made("1", "2", "3", "<2", "<1")) == ["1"]
    assert standing(made("1", "2", "<1", "3")) == ["1", "3"]
    assert standing(made("1", "2", "2")) == ["1", "2"]
    # The beginning is no longer kept: what is live stands nevertheless.
    assert standing(made("<4")) == ["4"]
    assert standing(made("5", "<4")) == ["4"]
