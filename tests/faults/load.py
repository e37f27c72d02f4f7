"""Load for longer than a test takes: a soak below capacity, and an offer far above it.

Owns what is offered, and the figures. Capacity is ``Sender.capacity``: the most lines a second that the service answers
when it is kept busy, with the same requests.
"""

import asyncio
import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from tests.faults import holdings
from tests.faults.house import Material, house
from tests.faults.offering import STEP_S, Meter, Sender, Sent, clients, said
from tests.faults.traffic import Lanes

CHURNED_BY, CHURNED_S = 4, 30.0
"""Beyond the silence that ends a session: then as many end as begin."""
WARMED_MOST_S = 600.0
CALM_SHARE = 0.3
CALM_S = 10.0
OVERLOAD_S = 30.0
OVERLOADED = 2.5
QUEUE_LINES = 20_000
"""That may wait while overloaded: a second's worth, and fewer than the client has under way."""
SETTLED_MIN = 5
"""Minutes after which memory should be flat but for what is kept for longer."""
MIB = 2**20
COLUMNS = {
    "minute": "minute", "lines_per_s": "lines/s", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "dropped": "dropped lines",
    "service_cpu": "service CPU %", "redis_cpu": "Redis CPU %", "client_cpu": "client CPU %",
    "service_mib": "service MiB", "redis_mib": "Redis MiB", "sessions": "live sessions", "answers": "kept answers",
    "incidents": "incidents", "ends": "ends", "answers_mib": "answers MiB", "incidents_mib": "incidents MiB",
    "sessions_mib": "sessions MiB", "ends_mib": "ends MiB", "retries_mib": "retries MiB", "other_mib": "other MiB",
}  # fmt: skip


async def soak(
    material: Material, minutes: float, share: float, console: Console, step_s: float = STEP_S
) -> dict[str, Any]:
    """a share of the measured capacity for so many minutes, a row of figures each: latency, dropped lines, CPU, memory
    of the service and of Redis, and what Redis holds"""
    async with house(material) as running, clients() as http:
        sender = Sender(http, running, Lanes(material))
        capacity = await _churning(sender, material, console, step_s)
        rate = share * capacity
        console.print(f"capacity {capacity:,.0f} lines/s; offering {rate:,.0f} for {minutes:g} min")
        console.print("  ".join(f"{title:>8}" for title in COLUMNS.values()), highlight=False, soft_wrap=True)
        rows: list[dict[str, float]] = []

        async def told(number: int, sent: Sent, shares: dict[str, float]) -> None:
            """A minute's row, while the next one is under way: a pause would let sessions fall silent together."""
            await asyncio.gather(*sent.under_way)
            row = {
                "minute": number + 1, "lines_per_s": sent.tally.lines / (sent.ended - sent.began),
                **sent.tally.quantiles(), "dropped": sent.tally.dropped,
                **{name: 100 * part for name, part in shares.items()},
                "service_mib": running.replicas[0].rss_mib(),
                **_held(await asyncio.to_thread(holdings.read, running.redis.url, material.source.name)),
            }  # fmt: skip
            rows.append(row)
            console.print(_cells(row), highlight=False, soft_wrap=True)

        meter, due = Meter(running), None
        telling: asyncio.Task[None] | None = None
        for number in range(math.ceil(minutes)):
            sent = await sender.send(rate, 60.0 * min(1.0, minutes - number), due)
            due = sent.due
            if telling is not None:
                await telling
            telling = asyncio.create_task(told(number, sent, meter.shares()))
        if telling is not None:
            await telling
        found = summary(rows)
        for line in said_of(rows, found):
            console.print(line, highlight=False, soft_wrap=True)
        return {"capacity": capacity, "share": share, "minutes": rows, **found}


async def _churning(sender: Sender, material: Material, console: Console, step_s: float) -> float:
    """Capacity once sessions end as fast as they begin when the service is kept busy: lines cost less before that."""
    warm_s = material.silence_s + CHURNED_S
    if warm_s > WARMED_MOST_S:
        console.print(f"sessions end after {material.silence_s:,.0f} s of silence: capacity is that while none does")
    else:
        console.print(f"keeping it busy for {warm_s:,.0f} s, until as many sessions end as begin")
        await sender.busy(CHURNED_BY, warm_s)
    console.print("measuring capacity")
    return await sender.capacity(console, step_s)


async def overload(
    material: Material, minutes: float, share: float, console: Console, step_s: float = STEP_S
) -> dict[str, Any]:
    """2.5 times the measured capacity for half a minute, then little: what was refused and failed, what was answered
    meanwhile as a share of capacity, and how soon all is calm again"""
    async with house(material, queue_lines=QUEUE_LINES) as running, clients() as http:
        sender = Sender(http, running, Lanes(material))
        console.print("measuring capacity")
        capacity = await sender.capacity(console, step_s)
        little, much = CALM_SHARE * capacity, OVERLOADED * capacity
        console.print(f"capacity {capacity:,.0f} lines/s; offering {little:,.0f} for {CALM_S:g} s")
        calm_ms = (await sender.offer(little, CALM_S))[0].quantiles()["p99_ms"]
        console.print(f"p99 {calm_ms:,.0f} ms; offering {much:,.0f} lines/s for {OVERLOAD_S:g} s")
        meter = Meter(running)
        tally, began, ended = await sender.offer(much, OVERLOAD_S)
        over = time.monotonic()
        goodput = tally.rate(began, ended)
        console.print(
            f"answered {goodput:,.0f} lines/s; {said(meter.shares())}; offering {little:,.0f} again", soft_wrap=True
        )
        after, _, _ = await sender.offer(little, 2 * CALM_S)
        slow = [due for due, at, _ in after.answers if (at - due) * 1000 > 2 * calm_ms]
        console.print("measuring capacity again: what else the machine does shows in the difference")
        again = await sender.capacity(console, step_s)
        requests = sum(tally.statuses.values())
        found = {
            "capacity": capacity, "capacity_afterwards": again,
            "offered": (tally.lines + tally.dropped) / (ended - began),
            "statuses": dict(tally.statuses), "refused_share": tally.statuses["429"] / max(1, requests),
            "server_errors": sum(count for what, count in tally.statuses.items() if what >= "500" and what.isdigit()),
            "errors": dict(tally.errors), "goodput": goodput, "goodput_share": goodput / capacity,
            "calm_p99_ms": calm_ms, "refused_when_calm": after.statuses["429"],
            "recovered_s": max(0.0, max(slow, default=over) - over),
        }  # fmt: skip
        for name, value in found.items():
            console.print(f"  {name}: {value}", highlight=False, soft_wrap=True)
        return found


def summary(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The soak in a few numbers: p99 of its first and last minutes, MiB an hour that service and Redis grow by once
    ``SETTLED_MIN`` minutes are over (over all of them where it is no longer than that), and lines dropped."""
    some = max(1, min(SETTLED_MIN, len(rows) // 2))
    settled = rows[SETTLED_MIN:] if len(rows) > SETTLED_MIN + 1 else rows
    return {
        "first_p99_ms": statistics.median(row["p99_ms"] for row in rows[:some]),
        "last_p99_ms": statistics.median(row["p99_ms"] for row in rows[-some:]),
        **{
            f"{name}_per_h": _slope([row[name] for row in settled])
            for name in ("service_mib", "redis_mib", *(f"{kind}_mib" for kind in (*holdings.KINDS, "other")))
        },
        "dropped": sum(row["dropped"] for row in rows),
    }


def said_of(rows: Sequence[dict[str, float]], found: dict[str, float]) -> list[str]:
    """What grows in Redis and when it levels off; in the last line how the soak came out."""
    lines = []
    for kind, until in holdings.LEVELS.items():
        grows = found[f"{kind}_mib_per_h"]
        lines.append(f"{kind}: {rows[-1][f'{kind}_mib']:,.1f} MiB, {grows:+,.1f} an hour; level off {until}")
    since = f"after minute {SETTLED_MIN}" if len(rows) > SETTLED_MIN + 1 else "over all of it"
    lines.append(
        f"p99 {found['first_p99_ms']:,.0f} ms in the first minutes, {found['last_p99_ms']:,.0f} in the last; "
        f"{since} the service grew by {found['service_mib_per_h']:+,.1f} MiB an hour, Redis by "
        f"{found['redis_mib_per_h']:+,.1f}; {found['dropped']:,.0f} lines dropped"
    )
    return lines


def _held(found: holdings.Holdings) -> dict[str, float]:
    return {
        "redis_mib": found.used / MIB, "sessions": found.sessions, "answers": found.answers,
        "incidents": found.incidents, "ends": found.ends,
        **{f"{kind}_mib": size / MIB for kind, size in found.bytes.items()},
    }  # fmt: skip


def _slope(values: Sequence[float]) -> float:
    """Growth an hour of one value a minute: the line of least squares."""
    if len(values) < 2:
        return 0.0
    return 60 * statistics.linear_regression(range(len(values)), values).slope


def _cells(row: dict[str, float]) -> str:
    """One line of the table."""
    figures = [f"{row[name]:,.1f}" if name.endswith("_mib") else f"{row[name]:,.0f}" for name in COLUMNS]
    return "  ".join(f"{cell:>{max(8, len(title))}}" for cell, title in zip(figures, COLUMNS.values(), strict=True))
