"""Who asks, as what they say is attributed: the name of their API key where keys are asked for, else what they say
themselves.

Owns that order, and what a name may be. ``X-Tocsin-Author`` names who asks where no key is asked for, and for a key
with scope ``proxy``, whose owner knows who it is; from everybody else it is passed over.
"""

import contextlib
import unicodedata
from typing import Annotated

from fastapi import Depends, Header
from pydantic import AfterValidator, Field

from service.api.guarded import CallerDependency
from service.incidents.seconds import NOBODY as NOBODY


def _plain(text: str) -> str:
    """A name as it can be shown and logged: no control characters, not blank."""
    name = text.strip()
    if not name or any(unicodedata.category(letter).startswith("C") for letter in name):
        raise ValueError("a name holds letters that can be seen")
    return name


def _named(text: str | None) -> str | None:
    """An author's name as a header brings it: servers hand over UTF-8 as if it were Latin-1."""
    if text is None:
        return None
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode("utf-8")
    return _plain(text)


def prose(text: str | None) -> str | None:
    """A note as it can be shown and logged: no control characters but line ends and tabs."""
    if text is not None and any(
        unicodedata.category(letter).startswith("C") and letter not in "\n\t" for letter in text
    ):
        raise ValueError("a note holds no control characters")
    return text


Author = Annotated[str, Field(max_length=100), AfterValidator(_plain)]
AuthorHeader = Annotated[str | None, Header(alias="X-Tocsin-Author", max_length=100), AfterValidator(_named)]


async def _asker(caller: CallerDependency, said: AuthorHeader = None) -> str | None:
    return said or caller.name if caller.name is None or caller.may("proxy") else caller.name


Asker = Annotated[str | None, Depends(_asker)]
"""Who asks; None: nobody says."""
