"""Templates to HTML. What logs bring is hostile: every text is escaped, and what cannot be printed is spelt out.

Owns the environment of the templates. Does not know what is shown.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from models.workflow.words import printable, shortened

TAB = "    "


def render(template: str, **shown: Any) -> str:
    """HTML of one template."""
    return _environment().get_template(template).render(**shown)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("service.page"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
    )
    environment.filters.update(moment=moment, percent=percent, number=number, rows=rows, cut=shortened)
    return environment


def _plain(value: Any) -> Any:
    """Escape sequences, bidirectional controls and the like are shown as what they are; markup is our own."""
    return printable(value) if type(value) is str else value


def rows(text: str) -> list[str]:
    """Lines of a text that may have several."""
    return text.replace("\t", TAB).removesuffix("\n").split("\n")


def moment(seconds: float) -> str:
    """A time in seconds since the epoch, UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return "an impossible time"


def percent(share: float) -> str:
    """A share as a person reads it: what is not all is not shown as all."""
    told = 100.0 * share
    if 0.0 < told < 0.1:
        return "< 0.1 %"
    if 99.9 < told < 100.0:
        return "> 99.9 %"
    return f"{told:.1f} %".replace(".0 %", " %")


def number(value: Any) -> str:
    """A number to four digits; what is none, as it stands."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def plainly(value: Mapping[str, Any]) -> dict[str, str]:
    """Scalars of a mapping, in words."""
    return {
        name.replace("_", " "): "yes" if part is True else "no" if part is False else number(part)
        for name, part in value.items()
        if isinstance(part, int | float | str) and part != ""
    }
