"""Tables, numbers and commands as Markdown. Knows nothing of what they hold; what comes from logs is made harmless."""

from collections.abc import Mapping, Sequence
from typing import Any

_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*[]<>|"})


def cell(text: str) -> str:
    """Text that stands in a table or a line as it is: no markup, no control character."""
    return "".join(c if c.isprintable() else " " for c in text).translate(_SPECIAL)


def number(value: float | None, digits: int = 3) -> str:
    """A figure with so many digits after the point; nothing where there is none."""
    return "" if value is None else f"{value:.{digits}f}"


def small(value: float | None) -> str:
    """A figure of any size with two digits that count, never as a power of ten."""
    if value is None:
        return ""
    if value == 0.0 or abs(value) >= 10.0:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 1.0 else f"{float(f'{value:.2g}'):f}".rstrip("0")


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with its title above it; the first column holds words, the others numbers."""
    lines = [
        f"**{cell(title)}**",
        "",
        f"| {' | '.join(heads)} |",
        f"| --- |{' ---: |' * (len(heads) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines)


def command(text: str) -> str:
    """A command to copy."""
    return f"```sh\n{text}\n```"


def figures(row: Mapping[str, Any], names: Sequence[str], digits: int = 3) -> list[str]:
    """Figures of a row by name."""
    return [number(row.get(name), digits) for name in names]
