"""Regular expressions as polars runs them: Rust's ``regex``, linear in the text, without look-around.

Owns: whether a pattern compiles, what its groups are called, and how an offending text is shown to people. Does not
know which setting means what.
"""

import polars as pl

from models.errors import ConfigError

_SHOWN = 80


def check(pattern: str, setting: str, *, may_be_empty: bool = True) -> str:
    """The pattern, once it is known to compile.

    Args:
        setting: what to call it in an error, such as ``session.pattern``.
        may_be_empty: False where a match of nothing would be nonsense (a mask, a session id).

    Raises:
        ConfigError: the pattern does not compile, or matches the empty text where it must not.
    """
    try:
        matches_nothing = bool(pl.Series([""]).str.contains(pattern, literal=False, strict=True)[0])
    except pl.exceptions.ComputeError as error:
        detail = str(error).split("\n\nThis error occurred")[0].replace("regex error: ", "", 1)
        raise ConfigError(
            f"{setting} is no regular expression that Rust's regex engine takes (it has no look-around and no "
            f"back-references): {detail}"
        ) from None
    if matches_nothing and not may_be_empty:
        raise ConfigError(f"{setting} matches the empty text, so it would match everywhere: {pattern!r}")
    return pattern


def groups(pattern: str) -> tuple[str, ...]:
    """Names of the pattern's groups in order; a group without a name has its number."""
    dtype = pl.Series([""]).str.extract_groups(pattern).dtype
    return tuple(field.name for field in dtype.fields) if isinstance(dtype, pl.Struct) else ()


def shown(text: str) -> str:
    """The text as an error may show it: quoted, control characters escaped, at most 80 characters of it."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}…"
