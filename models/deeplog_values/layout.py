"""Which numbers of a template make its value vector, how each is scaled, and what is normal of it.

Owns the positions of a vector and how a message is read into it. Does not know the network, nor how positions are
chosen (``training/deeplog_values/layout.py``).

A parameter is told by its token and its place among the placeholders of that token: unlike the number of the
parameter in the message, both stay when the template is widened.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from models.deeplog_values.number import number
from models.sessions import Float64
from models.template.parameters import Parameter, extract

ELAPSED = "elapsed"
"""Stands where a parameter has its mask's name: seconds since the session's previous event."""

Place = tuple[int, int]
"""Token of a template, and place among the placeholders of this token."""


@dataclass(frozen=True, slots=True)
class Position:
    """One cell of a template's value vector.

    ``mask``: the mask's name, ``*`` for a wildcard, ``ELAPSED``; ``token``, ``ordinal``: the parameter's place (-1 for
    the elapsed time). ``constant``: the one value that training saw, ``samples`` times; None for a number that the
    network predicts. ``mean``, ``std``: of the transformed value in training. ``unit``: 0.0 where the value is taken
    as it is; else x is transformed to sign(x) ln(1 + |x| / unit).
    """

    mask: str
    token: int
    ordinal: int
    samples: int
    constant: float | None = None
    mean: float = 0.0
    std: float = 1.0
    unit: float = 0.0

    @property
    def place(self) -> Place:
        return self.token, self.ordinal

    @property
    def predicted(self) -> bool:
        """Whether the network judges it: it is no constant, and training saw it."""
        return self.constant is None and self.samples > 0

    def original(self, standardised: float) -> float:
        """The value whose standardised form is given, within what float64 holds."""
        value = standardised * self.std + self.mean
        if not self.unit:
            return value
        return math.copysign(self.unit * math.expm1(min(abs(value), 700.0)), value)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        return cls(**state)


def transformed(values: Float64, unit: Float64 | float) -> Float64:
    """``values`` float64 [...] as they are where ``unit`` (broadcast) is 0.0, else sign(x) ln(1 + |x| / unit)."""
    size = np.asarray(unit, dtype=np.float64)
    logarithm = np.sign(values) * np.log1p(np.abs(values) / np.where(size > 0.0, size, 1.0))
    return np.where(size > 0.0, logarithm, values)


def placed(parameters: Sequence[Parameter]) -> Iterator[tuple[Place, Parameter]]:
    """Parameters, left to right, each with its place."""
    token, ordinal = -1, 0
    for parameter in parameters:
        ordinal = ordinal + 1 if parameter.token == token else 0
        token = parameter.token
        yield (token, ordinal), parameter


def read(wanted: Mapping[Place, int], tokens: Sequence[str], message: str, width: int) -> Float64:
    """The numbers at the ``wanted`` places of a raw message, each in its column; float64 [width], NaN elsewhere."""
    values = np.full(width, np.nan)
    for place, parameter in placed(extract(tokens, message)):
        column = wanted.get(place)
        if column is not None:
            values[column] = number(parameter.value)
    return values
