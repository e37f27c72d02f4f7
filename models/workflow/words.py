"""Words of a drawing: template texts made harmless and short, counts as shares.

Templates come from log lines and may hold anything; what is left here is printable. Does not know how a drawing escapes
its own marks.
"""

from collections.abc import Callable
from unicodedata import east_asian_width

from models.sessions import BEFORE_SESSION
from models.vocabulary import END
from models.workflow.graph import Node

TextOf = Callable[[int], str]


def node_text(node: Node, text_of: TextOf) -> str:
    """What a node says, on one line and printable."""
    if node.template_id == BEFORE_SESSION:
        return "session begins"
    if node.template_id == END:
        return "session ends"
    return f"{node.template_id}: {printable(text_of(node.template_id))}"


def printable(text: str) -> str:
    """Text with every character that is not printed as itself escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, columns: int) -> str:
    """At most ``columns`` columns of text; wide characters take two."""
    taken = 0
    for place, character in enumerate(text):
        taken += columns_of(character)
        if taken > columns:
            return f"{text[: max(place - 1, 0)]}…"
    return text


def wrapped(text: str, columns: int, lines: int) -> list[str]:
    """Text in at most ``lines`` lines of ``columns`` columns, broken at spaces where that wastes little."""
    rows: list[str] = []
    rest = text
    while rest and len(rows) < lines - 1:
        row = rest
        while sum(map(columns_of, row)) > columns:
            row = row[: min(len(row) - 1, columns)]
        if len(row) < len(rest):
            space = row.rfind(" ")
            row = row[:space] if space > len(row) // 2 else row
        rows.append(row.strip())
        rest = rest[len(row) :].strip()
    return [*rows, shortened(rest, columns)] if rest else rows


def columns_of(character: str) -> int:
    """Columns that a character takes."""
    return 2 if east_asian_width(character) in "WF" else 1


def share(part: int, whole: int) -> str:
    """A share in percent; what is not nothing is not shown as nothing."""
    percent = 100.0 * part / max(whole, 1)
    return "< 1 %" if 0.0 < percent < 1.0 else "> 99 %" if 99.0 < percent < 100.0 else f"{percent:.0f} %"
