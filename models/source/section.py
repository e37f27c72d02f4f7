"""Reading one section of a configuration: known names only, each of the right type, errors that name the setting.

Knows nothing of what the settings mean.
"""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence

from models.errors import ConfigError


def nearest(name: str, known: Sequence[str]) -> str:
    """A sentence that helps with an unknown name: the nearest known one, or all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


class Section:
    """One mapping of settings.

    Args:
        value: what was read; anything but a mapping is refused.
        where: the section's name in errors, empty for the outermost.
        known: the settings that it may hold.

    Raises:
        ConfigError: from here and every method: unknown setting, missing setting, or a value of another type.
    """

    def __init__(self, value: object, where: str, known: Sequence[str]) -> None:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where or 'a source'} must be a mapping of settings, not {type(value).__name__}")
        self._value = value
        self._where = where
        for name in value:
            if name not in known:
                hint = nearest(str(name), known)
                raise ConfigError(f"unknown setting {str(name)!r} in {where or 'the source'}: {hint}")

    def __contains__(self, name: str) -> bool:
        return self._value.get(name) is not None

    def label(self, name: str) -> str:
        """The setting's full name, such as ``session.pattern``."""
        return f"{self._where}.{name}" if self._where else name

    def raw(self, name: str) -> object:
        """The value as it stands, None where it is absent."""
        return self._value.get(name)

    def text(self, name: str, default: str | None = None) -> str:
        """A text that is not empty."""
        value = self._value.get(name, default)
        if value is None:
            raise ConfigError(f"{self.label(name)} is missing")
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{self.label(name)} must be a text that is not empty, not {value!r}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, or a single one; empty where it is absent."""
        value = self._value.get(name)
        if value is None:
            return ()
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) and item for item in items):
            raise ConfigError(f"{self.label(name)} must be a text or a list of texts, not {value!r}")
        return tuple(items)

    def number(self, name: str, default: float, *, above: float) -> float:
        """A finite number larger than ``above``."""
        value = self._value.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= above:
            raise ConfigError(f"{self.label(name)} must be a number above {above:g}, not {value!r}")
        return float(value)

    def integer(self, name: str, default: int, *, least: int, most: int | None = None) -> int:
        """A whole number of at least ``least`` and, where given, at most ``most``."""
        value = self._value.get(name, default)
        if isinstance(value, int) and most is not None and value > most:
            raise ConfigError(f"{self.label(name)} must be at most {most}, not {value!r}")
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{self.label(name)} must be a whole number of at least {least}, not {value!r}")
        return value

    def items(self, name: str) -> Iterator[tuple[str, object]]:
        """Each item of a list with its full name; nothing where it is absent."""
        value = self._value.get(name)
        if value is None:
            return
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{self.label(name)} must be a list, not {value!r}")
        for position, item in enumerate(value):
            yield f"{self.label(name)}[{position}]", item
