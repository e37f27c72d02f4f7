"""The figures that README states of the demo. ``make demo DEMO_EXIT=1`` fails where one is not reached.

They are bounds, a little looser than what was measured: the parts that sessions fall apart into depend on no clock, but
ONNX Runtime's last digits differ between machines.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stated:
    """At least ``recall`` of the faulty sessions and ``kinds`` kinds of fault are caught, with at most ``false_alarms``
    normal sessions ringing."""

    recall: float
    kinds: int
    false_alarms: int


STATED = Stated(recall=0.95, kinds=13, false_alarms=3)
