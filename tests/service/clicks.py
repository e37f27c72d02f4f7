"""Lines that ring, and the clicks of a person on what rang."""

from typing import Any

from models.verdict import Verdict
from tests.service.serving import NOW, Replica

ADA = {"X-Tocsin-Author": "ada"}


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def line(message: str, second: int = 0) -> str:
    return f"240502 10{second // 60:02d}{second % 60:02d} 21 INFO {message}"


def quarantined(block: int) -> str:
    """A new event."""
    return line(f"store.Names: quarantine of blk_{block} ordered by operator al")


def forgotten(block: int) -> list[str]:
    """Deleted before anything was stored: the last step is strange after the first, the whole session by its counts."""
    return [
        line(f"store.Names: allocate blk_{block} for /jobs/3/part-4"),
        line(f"store.Names: deleted blk_{block}", 1),
    ]


def unwritten(block: int) -> list[str]:
    """Mapped before anything was stored; the session goes on."""
    return [
        line(f"store.Names: allocate blk_{block} for /jobs/3/part-4"),
        line(f"store.Names: replica map updated with blk_{block} at 10.0.0.9:5001", 1),
    ]


async def judged(replica: Replica, lines: list[str], **how: Any) -> list[Verdict]:
    return list((await replica.ingest("blocks", lines, **how))["verdicts"])


async def rings(replica: Replica, lines: list[str]) -> Verdict:
    """The first of the verdicts that is anomalous."""
    return next(verdict for verdict in await judged(replica, lines) if verdict["anomalous"])


async def give(replica: Replica, status: int = 201, headers: dict[str, str] = ADA, **given: Any) -> dict[str, Any]:
    response = await replica.http.post("/feedback", json={"label": "false_positive", **given}, headers=headers)
    assert response.status_code == status, response.text
    return dict(response.json())


async def undo(replica: Replica, feedback_id: str) -> dict[str, Any]:
    response = await replica.http.delete(f"/feedback/{feedback_id}", headers=ADA)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def state_of(replica: Replica, incident: str | None) -> str:
    return str((await replica.get(f"/incidents/{incident}"))["state"])


async def only(replica: Replica) -> dict[str, Any]:
    (item,) = (await replica.get("/feedback"))["feedback"]
    return dict(item)


async def is_ready(replica: Replica) -> bool:
    return (await replica.http.get("/readyz")).status_code == 200
