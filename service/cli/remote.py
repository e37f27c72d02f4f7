"""Calls to a running service, for commands that change or show what it serves.

Owns the address and what a refusal looks like. Does not know what is asked for.
"""

from typing import Annotated, Any

import httpx
import orjson
import typer

from models.errors import TocsinError
from models.source.regex import shown
from service.access import own
from service.cli.show import harmless
from service.secrets import without_secret

TIMEOUT_S = 300.0
"""Loading a version, or judging a spool by two, takes a while."""

Url = Annotated[str, typer.Option(help="Address of the service")]
Author = Annotated[str | None, typer.Option("--author", help="Who asks for it, as the service is to note it")]

HERE = "http://127.0.0.1:8000"


class RemoteError(TocsinError):
    """The service cannot be reached, or refuses what it is asked."""


def call(url: str, method: str, path: str, body: Any = None, author: str | None = None, **query: Any) -> dict[str, Any]:
    """The service's answer. Raises RemoteError with what it says where it refuses."""
    there = shown(without_secret(url))
    headers = {name.encode(): value.encode() for name, value in own.headers().items()}
    if author is not None:
        headers[b"X-Tocsin-Author"] = author.encode("utf-8")
    try:
        address = httpx.URL(url)
        if address.scheme not in ("http", "https") or not address.host:
            raise RemoteError(f"{there} is no address of a service; give one as in {HERE}")
        # A proxy of the environment does not lead to this machine.
        near = address.host in ("localhost", "127.0.0.1", "::1")
        with httpx.Client(base_url=address, timeout=TIMEOUT_S, trust_env=not near, verify=own.tls()) as client:
            params = {name: value for name, value in query.items() if value is not None}
            response = client.request(method, path, json=body, headers=headers, params=params)
    except httpx.InvalidURL as error:
        raise RemoteError(f"{there} is no address of a service: {error}") from error
    except httpx.HTTPError as error:
        raise RemoteError(f"{there} does not answer ({harmless(str(error))}); does the service run there?") from error
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        answer = None
    if not response.is_success or not isinstance(answer, dict):
        said = answer.get("error") if isinstance(answer, dict) else None
        raise RemoteError(f"{there} answered {response.status_code}: {harmless(str(said or response.text)[:500])}")
    return answer
