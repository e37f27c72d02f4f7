"""What became of one attempt to tell somebody."""

from dataclasses import dataclass
from typing import Protocol

from service.notify.notice import Notice


@dataclass(frozen=True, slots=True)
class Outcome:
    """``sent``; or why not, in words without secrets, whether trying again is of no use (``refused``), and how many
    seconds the peer asks to be left alone for."""

    sent: bool
    reason: str = ""
    refused: bool = False
    retry_after_s: float | None = None


SENT = Outcome(True)


class Channel(Protocol):
    """One way of telling somebody."""

    async def send(self, notice: Notice) -> Outcome:
        """Try once, in bounded time. Does not raise for what the peer does."""

    async def close(self) -> None:
        """Let go of connections."""
