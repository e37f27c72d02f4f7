"""The API key that a request brings, in whichever way its client knows: what stands in headers, never in an address,
which ends up in logs.

``Authorization: Bearer KEY``; ``X-API-Key: KEY``; ``Authorization: Basic`` with the key as the password, whatever the
name (Loki's clients, Fluent Bit); ``Authorization: ApiKey`` with base64 of ``ID:KEY`` (Elasticsearch's clients). Does
not know whether a key is any good.
"""

import base64
import binascii
from collections.abc import Mapping

from service.access.secret import PREFIX

LONGEST = 1_024


def presented(headers: Mapping[str, str]) -> str | None:
    """The key as it is written; None where the headers (names in lower case) bring nothing that could be one."""
    scheme, _, given = headers.get("authorization", "")[:LONGEST].partition(" ")
    given = given.strip()
    match scheme.lower():
        case "bearer":
            found = given
        case "basic" | "apikey":
            found = _after_colon(given)
        case _:
            found = ""
    for text in (found, headers.get("x-api-key", "")[:LONGEST].strip()):
        if text.startswith(PREFIX):
            return text
    return None


def _after_colon(encoded: str) -> str:
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return decoded.partition(":")[2]
