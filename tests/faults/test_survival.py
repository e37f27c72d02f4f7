"""Two replicas on one Redis, a replay through both, one fault after the other: the effects are those of a quiet run.

A short part of what ``make faults`` runs, over the recorded sample.
"""

import asyncio

import pytest

from tests.faults import __main__ as suite
from tests.faults import house, outcome
from tests.faults.faults import FAULTS
from tests.faults.house import Material, Run

LINES = slice(16_000, 21_000)
SHORT = ("replicas_killed", "redis_killed", "resets", "partition")
"""What is run on every change; `make faults` runs the others too."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def material() -> Material:
    return house.sample(LINES)


@pytest.fixture(scope="module")
def quiet(material: Material) -> Run:
    """What nothing disturbed."""
    return asyncio.run(suite.run(material, None))


def test_a_quiet_run_has_something_of_everything(quiet: Run) -> None:
    assert quiet.sent.failures == {}
    assert quiet.outcome.anomalous > 10
    assert quiet.outcome.ends
    assert quiet.outcome.incidents
    assert quiet.outcome.live == 0


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_doubled_or_changed(name: str, material: Material, quiet: Run) -> None:
    found = asyncio.run(suite.run(material, FAULTS[name]))
    assert outcome.differences(quiet.outcome, found.outcome) == []
    assert found.healed_s is not None
