"""Syslog's framing over a stream (RFC 6587), told anew for each message by its first byte.

A digit begins ``LENGTH SP MESSAGE``; all else runs to the next line feed or NUL (Python's ``SysLogHandler``). Owns what
is held of a message that has not arrived whole. Does not know what a message says.
"""

import re
from collections.abc import Callable

_END = re.compile(rb"[\n\0]")
_LENGTH = re.compile(rb"([1-9][0-9]{0,8}) ")
_LENGTH_SO_FAR = re.compile(rb"[1-9][0-9]{0,8}")
_DIGITS = frozenset(b"123456789")


class Framer:
    """Messages of one connection, at most ``most`` bytes each; at most that and one length are held.

    ``dropped`` hears of each message that is left out: ``too_long``, ``framing`` (digits that are no length: all up to
    the next line feed goes), ``truncated`` (the connection ended within it).
    """

    def __init__(self, most: int, dropped: Callable[[str], None]) -> None:
        self._most = most
        self._dropped = dropped
        self._held = b""
        self._searched = 0
        self._octets_to_skip = 0
        self._line_to_skip = False

    def feed(self, data: bytes) -> list[bytes]:
        """Messages that are whole now, in order; none is empty."""
        held = self._held + data
        found: list[bytes] = []
        at, end = 0, len(held)
        searched = 0
        while at < end:
            if self._octets_to_skip:
                step = min(self._octets_to_skip, end - at)
                self._octets_to_skip -= step
                at += step
            elif self._line_to_skip:
                ends = _END.search(held, at)
                self._line_to_skip = ends is None
                at = end if ends is None else ends.end()
            elif held[at] in _DIGITS:
                length = _LENGTH.match(held, at)
                if length is None:
                    if _LENGTH_SO_FAR.fullmatch(held, at):
                        break
                    self._dropped("framing")
                    self._line_to_skip = True
                elif (octets := int(length[1])) > self._most:
                    self._dropped("too_long")
                    self._octets_to_skip, at = octets, length.end()
                elif (stop := length.end() + octets) > end:
                    break
                else:
                    found.append(held[length.end() : stop])
                    at = stop
            else:
                ends = _END.search(held, max(at, self._searched))
                stop = end if ends is None else ends.start()
                if stop - at > self._most:
                    self._dropped("too_long")
                    self._line_to_skip = True
                elif ends is None:
                    searched = end - at
                    break
                else:
                    if not held[at:stop].isspace() and stop > at:
                        found.append(held[at:stop])
                    at = ends.end()
        self._held, self._searched = held[at:], searched
        return found

    def finish(self) -> list[bytes]:
        """What the end of the connection makes whole: a last line without its line feed."""
        held, self._held, self._searched = self._held, b"", 0
        if not held or held.isspace():
            return []
        if held[0] in _DIGITS:
            self._dropped("truncated")
            return []
        return [held]
