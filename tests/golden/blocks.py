"""An invented log of a block store: what normal blocks do, and a short golden log with everything awkward in it.

A block is a session. The golden log holds lines that name two blocks, blocks that end and return, blocks that fall
silent and return, a block that lacks a step, one with a step too many, new events, a new event whose template widens,
a late line, and lines that do not fit.
"""

import random
from datetime import UTC, datetime

from models.source.config import Source

BEGAN = datetime(2024, 5, 1, tzinfo=UTC).timestamp()
IDLE_S = 900.0

Timed = tuple[float, str]


def source(name: str = "blocks") -> Source:
    """How the log is read: HDFS's header, a block ends when it is deleted or silent for 15 minutes."""
    return Source.from_dict({**Source.load("hdfs").to_dict(), "name": name, "idle_s": IDLE_S, "ends_on": ["^deleted "]})


def normal_log(blocks: int = 220, seed: int = 7) -> list[str]:
    """Normal blocks only, two thirds of them deleted at the end."""
    chance = random.Random(seed)
    lines: list[Timed] = []
    for number in range(blocks):
        lines += _life(chance, number, BEGAN + 20.0 * number, peer=number + 1 if number % 5 == 0 else None)
    return _written(lines)


def golden_log(seed: int = 11) -> list[str]:
    """About 350 lines in time order, the late one apart."""
    chance = random.Random(seed)
    began = BEGAN + 100_000.0
    lines: list[Timed] = []
    for number in range(1000, 1030):
        life = _life(chance, number, began + 25.0 * (number - 1000), peer=number + 1 if number % 4 == 0 else None)
        if number == 1005:  # lacks its writes
            life = [(time, text) for time, text in life if "INFO store.Node: stored" not in text]
        if number == 1007:  # one step far too often
            life += [(life[-1][0] - 1.0, _text("store.Node", f"receiving blk_1007 from {_host(chance)}"))] * 9
        lines += life
    end = lines[-1][0]
    # Ended by deletion, then back: the next epoch, which begins in the middle of a life.
    lines += [(end + 30.0 + i, _text("store.Node", f"served blk_1001 to {_host(chance)}")) for i in range(3)]
    # New events, of which the second and third widen the template of the first.
    for i, who in enumerate(("alice", "bob", "carol")):
        lines.append((end + 40.0 + i, _text("store.Names", f"quarantine of blk_{1010 + i} ordered by operator {who}")))
    lines.append((end + 50.0, _text("store.Node", "checksum of blk_1012 differs from what was stored")))
    # Silent for longer than idle_s, then back.
    lines += _life(chance, 2000, end + 60.0, deleted=False)
    lines += _life(chance, 1003, end + 3 * IDLE_S, deleted=False)
    lines += _life(chance, 2000, end + 3 * IDLE_S + 5.0)
    for number in range(2001, 2008):
        lines += _life(chance, number, end + 3 * IDLE_S + 20.0 * (number - 2000))
    log = _written(lines)
    half = len(log) // 2
    log[half:half] = ["this line has no header", _stamped(began, _text("store.Names", "nothing is said of any block"))]
    log.insert(len(log) - 20, _stamped(end, _text("store.Node", "served blk_2003 to 10.0.0.9:5001")))
    return log


def _life(
    chance: random.Random, number: int, at: float, *, peer: int | None = None, deleted: bool | None = None
) -> list[Timed]:
    block = f"blk_{number}"
    copies = chance.choice((2, 3))
    steps = [("store.Names", f"allocate {block} for /jobs/{chance.randrange(99)}/part-{chance.randrange(999)}")]
    steps += [("store.Node", f"receiving {block} from {_host(chance)}") for _ in range(copies)]
    steps += [("store.Node", f"stored {block} of {chance.randrange(10**8)} bytes") for _ in range(copies)]
    steps += [("store.Names", f"replica map updated with {block} at {_host(chance)}") for _ in range(copies)]
    if peer is not None:
        steps.append(("store.Names", f"compaction merges {block} into blk_{peer}"))
    steps += [("store.Node", f"served {block} to {_host(chance)}") for _ in range(chance.randrange(4))]
    if chance.random() < 0.66 if deleted is None else deleted:
        steps.append(("store.Names", f"deleted {block}"))
    lines = []
    for component, message in steps:
        at += chance.randrange(1, 8)
        lines.append((at, _text(component, message)))
    return lines


def _host(chance: random.Random) -> str:
    return f"10.0.0.{chance.randrange(2, 250)}:5001"


def _text(component: str, message: str) -> str:
    return f"{random.Random(message).randrange(20, 400)} INFO {component}: {message}"


def _written(lines: list[Timed]) -> list[str]:
    return [_stamped(time, text) for time, text in sorted(lines, key=lambda line: line[0])]


def _stamped(time: float, text: str) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%y%m%d %H%M%S} {text}"
