"""What an append found, without arrays: to compare two."""

from dataclasses import fields

from models.windows import Priors
from service.state.windows import Appended


def plain_priors(found: Priors) -> list[list[float]]:
    """Its columns."""
    return [getattr(found, column.name).tolist() for column in fields(found)]


def plain_append(found: Appended) -> tuple[object, ...]:
    """All of it."""
    return found.groups.names, found.groups.order.tolist(), plain_priors(found.priors), found.closings, found.notes
