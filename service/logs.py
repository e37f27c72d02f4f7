"""The service's own log: one record, one line, whatever stands in it.

Owns level, form and what is escaped. Error messages quote log lines, names and answers of peers: a line feed in one
would forge a record, an escape would drive the terminal of whoever reads.
"""

import logging
import sys

from models.workflow.words import printable

FORM = "%(levelname)s %(name)s: %(message)s"
INDENT = "  "
"""Before each line of a traceback, so that none passes for a record."""


def begin(level: int = logging.INFO) -> None:
    """Log to standard error from ``level`` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Harmless(FORM))
    logging.basicConfig(level=level, handlers=[handler])


class Harmless(logging.Formatter):
    """Writes out what cannot be printed; only a traceback takes more than one line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The record without its traceback."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802
        """A traceback, each line indented."""
        return _indented(super().formatException(ei))  # type: ignore[arg-type]

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """Where it was logged, each line indented."""
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(INDENT + printable(line) for line in text.split("\n"))
