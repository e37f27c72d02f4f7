"""Regular expressions for one short text: RE2, where it is sure to mean what Rust's engine means.

polars takes tenths of a millisecond to begin, whatever it then works on; for one line that is nearly all it takes.
RE2 is called at once, is linear in the text too (https://github.com/google/re2/wiki/WhyRE2), and prefers the same
match, the leftmost whose alternatives stand first. Owns which patterns and texts both read alike: on printable ASCII
and tabs classes such as ``\\w`` are the same sets, and no line ends within a text. Does not know which setting a
pattern is.
"""

import re

import re2

_ESCAPES = frozenset("dDwWsSbBAztnrf")
_GROUP = re.compile(r"\((?!\?)|\(\?(?:P?<[A-Za-z_][A-Za-z0-9_]*>|[ims]*(?:-[ims]+)?[:)])")
_REPEAT = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")
_NAMED_CLASS = re.compile(r"\[:\^?[a-z]+:\]")


class EmptyMatch(Exception):
    """A match of nothing, after which engines go on in different ways."""


class LinearRegex:
    """A compiled pattern, over bytes of readable text."""

    def __init__(self, pattern: str) -> None:
        options = re2.Options()
        options.log_errors = False
        self._regex = re2.compile(pattern.encode(), options)
        self.groups: dict[str, int] = {name.decode(): number for name, number in self._regex.groupindex.items()}

    def contains(self, text: bytes) -> bool:
        """Whether it is found anywhere."""
        return self._regex.search(text) is not None

    def extract(self, text: bytes) -> tuple[bytes | None, ...] | None:
        """Its groups where it is found first, None for one that took no part; None where it is not found."""
        found = self._regex.search(text)
        return None if found is None else found.groups()

    def find_all(self, text: bytes) -> list[bytes]:
        """Every match, from left to right, none within another. Raises EmptyMatch."""
        found = [match.group() for match in self._regex.finditer(text)]
        if b"" in found:
            raise EmptyMatch
        return found

    def replace_all(self, text: bytes, by: bytes, keep: int | None) -> bytes:
        """The text with ``by`` in the place of every match, the match's group number ``keep`` standing before it.
        Raises EmptyMatch."""
        pieces: list[bytes] = []
        end = 0
        for found in self._regex.finditer(text):
            begin, stop = found.span()
            if begin == stop:
                raise EmptyMatch
            pieces.append(text[end:begin])
            if keep is not None:
                pieces.append(found.group(keep) or b"")
            pieces.append(by)
            end = stop
        if not end:
            return text
        pieces.append(text[end:])
        return b"".join(pieces)


def compiled(pattern: str) -> LinearRegex | None:
    """None where the engines might read the pattern differently, or RE2 refuses it."""
    if not _shared(pattern):
        return None
    try:
        return LinearRegex(pattern)
    except re2.error:
        return None


def readable(text: str) -> bool:
    """Whether a text is one that both engines read alike: printable ASCII and tabs."""
    return text.isascii() and (text.isprintable() or text.replace("\t", " ").isprintable())


def _shared(pattern: str) -> bool:
    """Whether a pattern that Rust's engine takes holds nothing but what RE2 reads in the same way."""
    if not (pattern.isascii() and pattern.isprintable()):
        return False
    at, in_class = 0, False
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            escaped = pattern[at + 1 : at + 2]
            if (escaped.isalnum() and escaped not in _ESCAPES) or escaped in "<>" or pattern.startswith("\\b{", at):
                return False
            at += 2
            continue
        if in_class:
            named = _NAMED_CLASS.match(pattern, at) if char == "[" else None
            if (char == "[" and named is None) or pattern.startswith(("&&", "--", "~~"), at):
                return False
            if named is not None:
                at = named.end()
                continue
            in_class = char != "]"
        elif char == "[":
            in_class = True
            # A bracket that comes first, also after a caret, is one of the class.
            at += 1 + pattern.startswith("[^", at)
            at += pattern.startswith("]", at)
            continue
        elif char == "(":
            group = _GROUP.match(pattern, at)
            if group is None:
                return False
            at = group.end()
            continue
        elif char == "{":
            repeat = _REPEAT.match(pattern, at)
            if repeat is None:
                return False
            at = repeat.end()
            continue
        at += 1
    return True
