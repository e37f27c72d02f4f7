"""What personal data and secrets look like in a line, and what stands in for them.

Owns the kinds that a source may name in ``redact``: patterns of Rust's regex engine, checks of what only looks alike
(Luhn's for cards, ISO 7064 for IBANs), placeholders, and pseudonyms that have the look of what they replace, so that
headers and session patterns still read them. Does not know columns (``models.source.redaction``).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from models.errors import ConfigError
from models.source import regex
from models.source.section import Section, nearest

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
_CARDS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}"  # American Express, Diners Club
    r"|(?:6011|65[0-9]{2}|64[4-9][0-9])[0-9]{12}"  # Discover
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}|62[0-9]{14,17}"  # JCB, UnionPay
)
_LEAST_IBAN = 15
"""Letters and digits of the shortest, Norway's."""


@dataclass(frozen=True, slots=True)
class Redact:
    """Values that are taken out of lines before anything else is done with them.

    ``name`` is one of ``KINDS``, or any other where there is a ``pattern``. ``pseudonym``: a keyed hash stands for each
    value instead of ``<NAME>``; None: where sessions may be made of the text.
    """

    name: str
    pattern: str | None = None
    pseudonym: bool | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """``patterns`` in the order in which they are applied; groups ``keep`` and ``then`` stay before and behind what is
    replaced by a placeholder.
    ``replaced`` gives a match with the values in it replaced, by whatever ``stand_in`` says of one. ``pseudonym``: from
    a digest of 32 bytes to something of the same look, None for kinds that sessions are not made of."""

    patterns: tuple[str, ...]
    replaced: Callable[[str, Callable[[str], str]], str] | None = None
    pseudonym: Callable[[bytes], str] | None = None


def is_card(text: str) -> bool:
    """Whether digits (blanks and hyphens between them) are a payment card's number: issuer, length and Luhn's sum."""
    digits = text.replace(" ", "").replace("-", "")
    if not _CARDS.fullmatch(digits):
        return False
    doubled = (int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits)))
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether letters and digits (blanks between them) are an IBAN: ISO 7064, MOD 97-10."""
    plain = text.replace(" ", "")
    turned = plain[4:] + plain[:4]
    return len(plain) >= _LEAST_IBAN and int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def _card(text: str, stand_in: Callable[[str], str]) -> str:
    return stand_in(text) if is_card(text) else text


def _iban(text: str, stand_in: Callable[[str], str]) -> str:
    """The longest beginning that is one: a word of capitals may follow it."""
    for stop in range(len(text), _LEAST_IBAN - 1, -1):
        if text[stop - 1] != " " and is_iban(text[:stop]):
            return stand_in(text[:stop]) + text[stop:]
    return text


def _address_4(digest: bytes) -> str:
    """Within 240.0.0.0/4, which nobody has."""
    return f"{240 | digest[0] & 15}.{digest[1]}.{digest[2]}.{digest[3]}"


def _address_6(digest: bytes) -> str:
    """Within 100::/64, which leads nowhere (RFC 6666)."""
    return "100:0:0:0:" + ":".join(digest[at : at + 2].hex() for at in range(0, 8, 2))


def _mailbox(digest: bytes) -> str:
    """Under a domain that cannot be (RFC 2606)."""
    return f"{digest[:8].hex()}@redacted.invalid"


_HEX = "[0-9A-Fa-f]{1,4}"
_LETTER = r"[\p{L}\p{N}]"
KINDS = {
    "EMAIL": Kind(
        (rf"[\p{{L}}\p{{N}}._%+'\-]+(?:@|%40){_LETTER}[\p{{L}}\p{{N}}.\-]*\.\p{{L}}{{2,}}",),
        pseudonym=_mailbox,
    ),
    "IPV4": Kind((r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}",), pseudonym=_address_4),
    "IPV6": Kind(
        (
            rf"(?:{_HEX}:){{7}}{_HEX}",
            rf"\b(?:{_HEX}:){{1,7}}:{_HEX}(?::{_HEX}){{0,6}}\b|\b(?:{_HEX}:){{2,7}}:",
            rf"::{_HEX}(?::{_HEX}){{0,6}}\b",
        ),
        pseudonym=_address_6,
    ),
    "CARD": Kind((r"[0-9](?:[ \-]?[0-9]){12,18}",), replaced=_card),
    "IBAN": Kind((r"\b[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,4})?",), replaced=_iban),
    "TOKEN": Kind(
        (
            r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]+)?",  # JSON Web Token
            r"(?P<keep>(?i:\b(?:bearer|basic) +))[A-Za-z0-9._~+/\-]{8,}=*",  # RFC 6750, RFC 7617
            r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bxox[abeoprs]-[A-Za-z0-9\-]{10,}"
            r"|\bglpat-[A-Za-z0-9_\-]{16,}|\bsk-[A-Za-z0-9_\-]{16,}",
            r"(?P<keep>://[^\s/:@]{0,256}:)[^\s/@]{1,256}(?P<then>@)",  # the password of an address
            r"(?P<keep>(?i:(?:password|passwd|pwd|secret|token|api[_\-]?key)[\"']?[=:] ?[\"']?))[^\s\"'&,;<>]{3,}",
        )
    ),
}
"""What a source's ``redact`` may name."""


def read_redact(value: object, where: str) -> Redact:
    """One item of ``redact``: a kind's name, or a mapping. Raises ConfigError."""
    section = Section({"name": value} if isinstance(value, str) else value, where, tuple(Redact.__dataclass_fields__))
    name = section.text("name").upper()
    pattern = None
    if "pattern" in section:
        if not _NAME.fullmatch(name) or name in KINDS:
            known = ", ".join(KINDS)
            raise ConfigError(
                f"{where}.name must be letters, digits or '_' (at most 32), none of {known}, not {name!r}"
            )
        pattern = regex.check(section.text("pattern"), f"{where}.pattern", may_be_empty=False)
    elif name not in KINDS:
        raise ConfigError(f"{where} names no kind of data: {name!r}: {nearest(name, tuple(KINDS))}; or give a pattern")
    pseudonym = section.raw("pseudonym")
    if pseudonym not in (None, True, False):
        raise ConfigError(f"{where}.pseudonym must be true or false, not {pseudonym!r}")
    return Redact(name, pattern, None if pseudonym is None else pseudonym is True)
