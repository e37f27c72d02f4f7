"""One line of the recorded log: the prefix that the server writes, and the pattern that takes it apart.

Knows the text of a line only; sessions, labels and multi-line statements are the reader's business.
"""

import re

LOG_LINE_PREFIX = "%m [%p] %c %q%u@%d %a "
"""``log_line_prefix`` of the recording; ``%q`` ends it early for processes that serve no client."""

# No look-around, so that engines without it (Rust's regex, RE2) take the same text.
LINE_PATTERN = (
    r"^(?P<timestamp>\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3} UTC) \[(?P<pid>\d+)\] "
    r"(?P<session>[0-9a-f]+\.[0-9a-f]+) (?:(?P<user>[^@ ]+)@(?P<database>[^ ]+) (?P<application>[^ ]+) )?"
    r"(?P<level>[A-Z]+[0-9]?):  (?P<message>.*)$"
)
LINE = re.compile(LINE_PATTERN)


def is_continuation(line: str) -> bool:
    """Whether ``line`` carries on the message above it: PostgreSQL starts such lines with a tab."""
    return line.startswith("\t")
