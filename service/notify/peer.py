"""One attempt to hand something to an HTTP peer, and what its answer means.

Owns time limits, how much of an answer is read, and which answers are worth another attempt. Does not know what is
sent.
"""

import asyncio
import email.utils
import ipaddress
import logging
import time
from collections.abc import Mapping

import httpx

from models.workflow.words import printable
from service.notify.outcome import SENT, Outcome
from service.notify.reach import Guarded, OutOfReach, Reach

AGAIN = frozenset({408, 425, 429})
"""Beside 5xx: worth another attempt. Any other refusal would be one again."""
SHOWN_BYTES = 300
"""Of an answer: enough to see why."""
REACH = Reach()
LONGEST_ASKED_S = 3600.0
"""A peer may ask to be left alone for so long."""


class Peer:
    """Posts to one address. Redirects are not followed: a signed notice goes where it was meant to go, within ``reach``
    unless a proxy of the environment leads there: then the proxy looks the name up."""

    def __init__(self, url: str, timeout_s: float, token: str | None, reach: Reach = REACH) -> None:
        # It tells of each request with its address, which is a secret of many webhooks.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._url = httpx.URL(url)
        self._timeout_s = timeout_s
        headers = (
            {"User-Agent": "tocsin"} if token is None else {"User-Agent": "tocsin", "Authorization": f"Bearer {token}"}
        )
        # A proxy of the environment does not lead to this machine.
        self._http = httpx.AsyncClient(
            timeout=timeout_s, headers=headers, trust_env=not _is_here(self._url.host), transport=Guarded(reach)
        )

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send JSON once."""
        try:
            # httpx limits each read; this limits all of it, as a peer may send a byte at a time.
            async with (
                asyncio.timeout(self._timeout_s),
                self._http.stream(
                    "POST", self._url, content=body, headers={"Content-Type": "application/json", **headers}
                ) as response,
            ):
                if response.is_success:
                    return SENT
                return _refusal(response, await _beginning(response))
        except (TimeoutError, httpx.TimeoutException):
            return Outcome(False, f"no answer within {self._timeout_s:g} s")
        except OutOfReach as error:
            return Outcome(False, str(error), refused=True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            said = printable(str(error))[:SHOWN_BYTES]
            return Outcome(False, f"{type(error).__name__} {said}".strip())

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()


async def _beginning(response: httpx.Response) -> str:
    """The first bytes of an answer. What does not come, or cannot be unpacked, is not needed."""
    found = b""
    try:
        async for chunk in response.aiter_raw():
            found += chunk[:SHOWN_BYTES]
            if len(found) >= SHOWN_BYTES:
                break
    except httpx.HTTPError:
        pass
    return printable(found[:SHOWN_BYTES].decode("utf-8", "replace")).strip()


def _refusal(response: httpx.Response, said: str) -> Outcome:
    status = response.status_code
    again = status in AGAIN or status >= 500
    reason = f"status {status}" + (f": {said}" if said else "")
    return Outcome(False, reason, not again, _retry_after_s(response.headers.get("retry-after")) if again else None)


def _retry_after_s(said: str | None) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, section 10.2.3: seconds or a date); None where it says nothing."""
    if said is None:
        return None
    if said.strip().isdecimal():
        return min(float(said.strip()[:9]), LONGEST_ASKED_S)
    try:
        at = email.utils.parsedate_to_datetime(said).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(at - time.time(), 0.0), LONGEST_ASKED_S)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
