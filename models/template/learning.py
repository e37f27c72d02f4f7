"""Learning from a batch as if its lines had come one by one, at the price of its distinct messages.

Owns the order of things within a batch. Does not know how a message is matched or learned from: it is given both.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush

import numpy as np

from models.template.change import NO_TEMPLATE, OVERFLOW, Change, Int64
from models.template.seen import Seen
from models.template.tokens import tokenize


class Batch:
    """The ids of a batch of n messages while it is being learned from.

    ``matched`` int64 [n]: what ``match`` gave for each before the batch. ``match(message)``: its template now, or
    NO_TEMPLATE. ``learn(message, may_grow)``: make and keep the change that takes the message in, or give None where
    that needs a new id that may not be made; called only where nothing matches.
    """

    def __init__(
        self,
        messages: Sequence[str],
        matched: Int64,
        match: Callable[[str], int],
        learn: Callable[[str, bool], Change | None],
    ) -> None:
        self._match = match
        self._learn = learn
        self._codes: dict[str, int] = {}
        codes = np.fromiter(
            [self._codes.setdefault(message, len(self._codes)) for message in messages],
            dtype=np.int64,
            count=len(messages),
        )
        self._messages = list(self._codes)
        # Lines of the distinct message c, ascending: _lines[_starts[c]:_starts[c + 1]].
        self._lines = np.argsort(codes, kind="stable")
        self._starts = np.searchsorted(codes[self._lines], np.arange(len(self._messages) + 1))
        self._ids = matched.copy()
        first = self._lines[self._starts[:-1]]
        self._due = [(line, code) for code, line in enumerate(first.tolist()) if matched[line] == NO_TEMPLATE]
        heapify(self._due)
        self._known = Seen()
        for message, line in zip(self._messages, first.tolist(), strict=True):
            if matched[line] != NO_TEMPLATE:
                self._known.add(message, tokenize(message), int(matched[line]))
        # By number of tokens: a change of another length cannot matter to them.
        self._overflowed: dict[int, set[int]] = defaultdict(set)

    def run(self, budget: int | None) -> Int64:
        """Ids of the n lines, int64 [n], ``OVERFLOW`` where ``budget`` new ids (None: no end) were not enough."""
        while self._due:
            line, code = heappop(self._due)
            message = self._messages[code]
            found = self._match(message)
            change = None
            if found == NO_TEMPLATE:
                change = self._learn(message, budget is None or budget > 0)
                found = OVERFLOW if change is None else change.id
            self._put(code, line, found)
            tokens = tokenize(message)
            if found == OVERFLOW:
                self._overflowed[len(tokens)].add(code)
            else:
                self._known.add(message, tokens, found)
            if change is not None:
                self._follow(change, line)
                if change.kind == "new" and budget is not None:
                    budget -= 1
        return self._ids

    def _put(self, code: int, line: int, template_id: int) -> None:
        """This message has this id from this line on."""
        self._ids[self._lines_from(code, line)] = template_id

    def _lines_from(self, code: int, line: int) -> Int64:
        lines = self._lines[self._starts[code] : self._starts[code + 1]]
        later: Int64 = lines[np.searchsorted(lines, line) :]
        return later

    def _follow(self, change: Change, line: int) -> None:
        """After a change at ``line``: what it captured has the new id from the next line on, and what found no room is
        due again, as a wider template may take it."""
        for message in self._known.fitting(change.tokens):
            found = self._match(message)
            if found != self._known.ids[message]:
                self._known.add(message, tokenize(message), found)
                self._put(self._codes[message], line + 1, found)
        for code in self._overflowed.pop(len(change.tokens), ()):
            later = self._lines_from(code, line + 1)
            if len(later):
                heappush(self._due, (int(later[0]), code))
