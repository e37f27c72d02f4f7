"""A sender over a real Redis to a real HTTP peer: told once, tried again, given up, held back, never lost."""

import asyncio

import pytest
from redis.asyncio import Redis

from service.state import incidents, keys, outbox
from tests.service.notify.conftest import (
    CLOSE,
    HANG,
    Answer,
    Clock,
    HttpPeer,
    OpenSender,
    counted,
    quiet_rounds,
    raise_incidents,
    rounds_until,
)
from tests.service.serving import until


async def test_a_new_incident_is_told_once_and_one_seen_again_is_not(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender
) -> None:
    sender = sender_to(peer.url + "/hook")
    await sender.begin()
    await raise_incidents(redis, "a", score=0.9995)
    await rounds_until(sender, lambda: peer.requests, "a notice came")
    await raise_incidents(redis, "a", "b")
    await rounds_until(sender, lambda: len(peer.requests) == 2, "another came")
    await quiet_rounds(sender)
    assert peer.incidents == ["a", "b"]
    first = peer.requests[0]
    assert first.path == "/hook"
    assert first.headers["content-type"] == "application/json"
    told = first.json
    assert (told["kind"], told["source"], told["severity"]) == ("incident", "s", "warning")
    assert told["link"] == "https://tocsin.example/page/incidents/a"
    assert told["incident"]["line"] == "gone for good"
    assert told["incident"]["session"] == "session-a"
    assert len(set(peer.deliveries)) == 2
    assert counted(sender, "sent") == 2
    assert await outbox.counts(redis, "s", "hook") == (0, 0)


@pytest.mark.parametrize(
    "failures",
    [
        [Answer(500), Answer(503, {"Retry-After": "0"}), Answer(408)],
        [Answer(CLOSE), Answer(CLOSE)],
        [Answer(HANG)],
        [Answer(429, body=b"slow down"), Answer(CLOSE), Answer(502)],
    ],
    ids=["status", "closed", "hangs", "mixed"],
)
async def test_what_fails_is_tried_again_under_the_same_delivery_until_it_is_taken(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender, failures: list[Answer]
) -> None:
    hangs = any(answer.status == HANG for answer in failures)
    sender = sender_to(peer.url, timeout_s=5.0 if hangs else 60.0)
    await sender.begin()
    peer.script = list(failures)
    await raise_incidents(redis, "a")
    await rounds_until(sender, lambda: counted(sender, "sent") == 1, "it was sent")
    await quiet_rounds(sender)
    assert set(peer.incidents) == {"a"}
    assert len(set(peer.deliveries)) == 1
    # On a busy machine more than what hangs may take too long.
    assert counted(sender, "failed") >= len(failures)
    assert hangs or counted(sender, "failed") == len(failures) == len(peer.requests) - 1
    assert await outbox.counts(redis, "s", "hook") == (0, 0)


async def test_nobody_listening_is_a_failure_that_is_tried_again(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender
) -> None:
    peer.close()
    sender = sender_to(peer.url)
    await sender.begin()
    await raise_incidents(redis, "a")
    await rounds_until(sender, lambda: counted(sender, "failed") >= 2, "it was tried twice")
    assert await outbox.counts(redis, "s", "hook") == (1, 0)


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422, 302])
async def test_a_refusal_goes_to_the_dead_and_holds_up_no_other(
    redis: Redis, peer: HttpPeer, other_peer: HttpPeer, sender_to: OpenSender, status: int
) -> None:
    sender = sender_to(peer.url)
    await sender.begin()
    peer.script = [Answer(status, {"Location": other_peer.url}, b"go\x1b[31m away")]
    await raise_incidents(redis, "a")
    await rounds_until(sender, lambda: counted(sender, "dead") == 1, "it is dead")
    await raise_incidents(redis, "b")
    await rounds_until(sender, lambda: counted(sender, "sent") == 1, "the next was sent")
    [dead] = await outbox.dead(redis, "s", "hook", 10)
    assert (dead.waiting.incident, dead.why, dead.waiting.tries) == ("a", "refused", 1)
    assert dead.waiting.reason == f"status {status}: go\\x1b[31m away"
    assert peer.incidents == ["a", "b"]
    assert other_peer.requests == [], "a redirect was followed"


async def test_what_was_tried_for_too_long_is_given_up_and_can_be_raised_again(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender, clock: Clock
) -> None:
    sender = sender_to(peer.url, give_up_s=3600.0)
    await sender.begin()
    peer.otherwise = Answer(500)
    await raise_incidents(redis, "a")
    await rounds_until(sender, lambda: len(peer.requests) >= 2, "it was tried twice")
    clock.now += 3601.0
    await rounds_until(sender, lambda: counted(sender, "dead") == 1, "it is dead")
    [dead] = await outbox.dead(redis, "s", "hook", 10)
    assert (dead.why, dead.at) == ("gave_up", clock.now)
    assert dead.waiting.since == 1_800_000_000.0
    peer.otherwise = Answer(200)
    tried = len(peer.requests)
    await quiet_rounds(sender)
    assert len(peer.requests) == tried
    assert await outbox.raise_dead(redis, "s", "hook", [dead], again=True) == 1
    assert await outbox.raise_dead(redis, "s", "hook", [dead], again=True) == 0
    await rounds_until(sender, lambda: counted(sender, "sent") == 1, "it was sent at last")
    assert len(set(peer.deliveries)) == 1
    assert await outbox.counts(redis, "s", "hook") == (0, 0)


async def test_dead_notices_are_dropped_on_demand_and_no_more_than_a_cap_are_kept(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "DEAD_KEPT", 3)
    sender = sender_to(peer.url)
    await sender.begin()
    peer.otherwise = Answer(400)
    await raise_incidents(redis, "a", "b", "c", "d", "e")
    await rounds_until(sender, lambda: counted(sender, "dead") == 5, "all are dead")
    dead = await outbox.dead(redis, "s", "hook", 10)
    assert len(dead) == 3
    assert await outbox.raise_dead(redis, "s", "hook", dead, again=False) == 3
    assert await outbox.counts(redis, "s", "hook") == (0, 0)


async def test_a_flood_tells_the_strangest_and_counts_the_rest_in_one_notice(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender, clock: Clock
) -> None:
    budget = {"notices": 3, "window_s": 300.0}
    sender = sender_to(peer.url, budget=sender_to(peer.url).target.budget.model_copy(update=budget))
    await sender.begin()
    for number in range(10):
        await raise_incidents(redis, f"i{number}", score=0.99 + number / 1000)
    await rounds_until(sender, lambda: len(peer.requests) == 3, "the budget was spent")
    await raise_incidents(redis, "late", score=0.9999)
    await quiet_rounds(sender)
    assert sorted(peer.incidents) == ["i7", "i8", "i9"]
    assert counted(sender, "held_back") == 8
    clock.now += 301.0
    await rounds_until(sender, lambda: len(peer.requests) == 4, "the rest was told")
    told = peer.requests[3].json
    assert (told["kind"], told["severity"], told["held_back"]["count"]) == ("held_back", "warning", 8)
    assert told["held_back"]["by_severity"] == {"info": 7, "warning": 1}
    assert [one["id"] for one in told["held_back"]["top"]] == ["late", "i6", "i5", "i4", "i3"]
    assert told["held_back"]["top"][0]["link"] == "https://tocsin.example/page/incidents/late"
    assert told["held_back"]["until"] - told["held_back"]["from"] == 301.0
    await raise_incidents(redis, "next")
    await rounds_until(sender, lambda: len(peer.requests) == 5, "the next window lets pass again")
    assert peer.incidents[-1] == "next"
    clock.now += 301.0
    await quiet_rounds(sender)
    assert len(peer.requests) == 5, "nothing was held back, yet it was told"


async def test_what_a_peer_did_not_take_yet_counts_against_the_next_windows_budget(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender, clock: Clock
) -> None:
    budget = {"notices": 2, "window_s": 60.0}
    sender = sender_to(peer.url, budget=sender_to(peer.url).target.budget.model_copy(update=budget))
    await sender.begin()
    peer.otherwise = Answer(503)
    await raise_incidents(redis, "a", "b")
    await rounds_until(sender, lambda: len(peer.requests) >= 2, "both were tried")
    clock.now += 61.0
    await quiet_rounds(sender)
    await raise_incidents(redis, "c", "d")
    await rounds_until(sender, lambda: counted(sender, "held_back") == 2, "the next are held back")
    assert set(peer.incidents) == {"a", "b"}


async def test_a_peer_that_asks_to_be_left_alone_is(redis: Redis, peer: HttpPeer, sender_to: OpenSender) -> None:
    sender = sender_to(peer.url)
    await sender.begin()
    peer.otherwise = Answer(429, {"Retry-After": "3600"})
    await raise_incidents(redis, "a")
    await rounds_until(sender, lambda: peer.requests, "it was tried")
    await raise_incidents(redis, "b", "c")
    await quiet_rounds(sender)
    assert len(peer.requests) == 1
    assert await outbox.counts(redis, "s", "hook") == (3, 0)


async def test_a_sender_that_died_between_sending_and_settling_is_followed_by_one_that_sends_the_same_again(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender
) -> None:
    dying, next_one = sender_to(peer.url, timeout_s=60.0), sender_to(peer.url)
    await dying.begin()
    peer.script = [Answer(HANG)]
    await raise_incidents(redis, "a", "b")
    task = asyncio.create_task(_rounds(dying))
    await until(lambda: len(peer.requests) == 2, "both were sent", 60.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await quiet_rounds(next_one)
    assert len(peer.requests) == 2, "two send for one notifier"
    await redis.delete(keys.notify_lease("hook"))  # as it ends by itself
    await rounds_until(next_one, lambda: counted(next_one, "sent") >= 1, "it was sent again")
    assert len(peer.requests) >= 3
    assert len(set(peer.deliveries)) == 2
    assert set(peer.incidents) == {"a", "b"}
    assert await outbox.counts(redis, "s", "hook") == (0, 0)


async def test_of_two_processes_one_sends(redis: Redis, peer: HttpPeer, sender_to: OpenSender) -> None:
    one, two = sender_to(peer.url), sender_to(peer.url)
    await asyncio.gather(one.begin(), two.begin())
    for number in range(10):
        await raise_incidents(redis, f"a{number}", f"b{number}")
        await asyncio.gather(one.round(), two.round())
    await asyncio.gather(one.round(), two.round())
    assert len(peer.incidents) == len(set(peer.incidents)) == 20
    assert sorted([counted(one, "sent"), counted(two, "sent")]) == [0, 20]


async def test_even_two_that_both_believe_to_send_admit_nothing_twice(redis: Redis) -> None:
    await outbox.begin(redis, "s", "hook", at_end=True)
    await raise_incidents(redis, "a")
    [(place, incident)] = await outbox.after(redis, "s", outbox.BEGINNING)
    waiting = outbox.Waiting("delivery", incident, 1.0)

    async def admit() -> bool:
        places = (outbox.BEGINNING, place)
        return await outbox.admit(redis, "s", "hook", places=places, window=1.0, admitted=[waiting], held=[])

    assert [await admit(), await admit()] == [True, False]
    assert await outbox.settle(redis, "s", "hook", "delivery")
    assert not await outbox.settle(redis, "s", "hook", "delivery")
    assert not await outbox.tried(redis, "s", "hook", waiting)
    assert not await admit()
    assert await outbox.counts(redis, "s", "hook") == (0, 0)


async def test_a_new_notifier_is_not_told_of_what_was_before_it_but_of_a_new_source_all(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender
) -> None:
    names = ["s"]
    sender = sender_to(peer.url, lambda: names)
    await raise_incidents(redis, "before")
    await sender.begin()
    await raise_incidents(redis, "new", source="t")
    names.append("t")
    await rounds_until(sender, lambda: peer.requests, "the new source's came")
    await raise_incidents(redis, "after")
    await rounds_until(sender, lambda: len(peer.requests) == 2, "the next came")
    assert peer.incidents == ["new", "after"]


async def test_only_sources_and_severities_that_it_wants(redis: Redis, peer: HttpPeer, sender_to: OpenSender) -> None:
    sender = sender_to(peer.url, lambda: ["web-1", "db"], sources=("web-*",), min_severity="warning")
    await sender.begin()
    await raise_incidents(redis, "other", source="db")
    await raise_incidents(redis, "low", source="web-1", score=0.99)
    await raise_incidents(redis, "high", source="web-1", score=0.9999)
    await rounds_until(sender, lambda: peer.requests, "a notice came")
    await quiet_rounds(sender)
    assert peer.incidents == ["high"]
    assert counted(sender, "below_severity", "web-1") == 1


async def test_an_incident_that_was_answered_meanwhile_is_not_told(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender
) -> None:
    sender = sender_to(peer.url)
    await sender.begin()
    peer.script = [Answer(500)]
    await raise_incidents(redis, "a")
    await rounds_until(sender, lambda: counted(sender, "failed") == 1, "it was tried")
    await incidents.set_state(redis, "s", "a", "silenced")
    await rounds_until(sender, lambda: counted(sender, "answered") == 1, "it was let go")
    assert len(peer.requests) == 1
    assert await outbox.counts(redis, "s", "hook") == (0, 0)


async def test_an_incident_that_is_open_again_is_told_again(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender
) -> None:
    sender = sender_to(peer.url)
    await sender.begin()
    await raise_incidents(redis, "a")
    await rounds_until(sender, lambda: peer.requests, "it was told")
    await incidents.set_state(redis, "s", "a", "silenced")
    await incidents.apply(redis, "s", [incidents.Effect("a", b"{}", 1.0, 11.0, (b"another",))], 2.0)
    await rounds_until(sender, lambda: len(peer.requests) == 2, "it was told again")
    assert len(set(peer.deliveries)) == 2


async def test_an_emptied_redis_is_begun_anew(redis: Redis, peer: HttpPeer, sender_to: OpenSender) -> None:
    sender = sender_to(peer.url)
    await sender.begin()
    await redis.flushall()
    await raise_incidents(redis, "a")
    await rounds_until(sender, lambda: peer.requests, "it was told")
    assert peer.incidents == ["a"]


async def test_more_than_one_step_reads_is_seen_to_whole(
    redis: Redis, peer: HttpPeer, sender_to: OpenSender, clock: Clock
) -> None:
    sender = sender_to(peer.url)
    await sender.begin()
    number = 2 * outbox.READ + 10
    await raise_incidents(redis, *(f"i{i}" for i in range(number)))
    await rounds_until(
        sender, lambda: counted(sender, "sent") + counted(sender, "held_back") == number, "all is seen to"
    )
    assert counted(sender, "sent") == sender.target.budget.notices
    clock.now += 301.0
    await rounds_until(sender, lambda: peer.requests[-1].json["kind"] == "held_back", "the rest was told")
    assert peer.requests[-1].json["held_back"]["count"] == number - sender.target.budget.notices


async def _rounds(sender: object) -> None:
    while True:
        await sender.round()  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
