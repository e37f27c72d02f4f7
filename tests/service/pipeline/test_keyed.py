"""When requests under Idempotency-Keys are judged together."""

import math
from dataclasses import replace

import pytest

from service.pipeline.keyed import KeyedBatch
from service.pipeline.request import IngestRequest
from service.pipeline.worker import Job
from service.state.rules import StoredRules
from service.state.watermark import Began
from tests.service.serving import blocks_bundle

BEGAN = Began(100.0, "3", "tree", 7, StoredRules(2, {}), None)


def batch(size: int) -> KeyedBatch:
    jobs = [
        Job(IngestRequest("blocks", 1, ["line"], [0], batch_id=str(n)), "all", float(n), None)  # type: ignore[arg-type]
        for n in range(size)
    ]
    return KeyedBatch.of(jobs, blocks_bundle().source)


def test_requests_that_begin_one_after_the_other_are_one_batch() -> None:
    assert batch(3).is_one([replace(BEGAN, prior_max=prior) for prior in (-math.inf, 100.0, 100.0)])


@pytest.mark.parametrize(
    "other",
    [
        replace(BEGAN, bundle="4"),
        replace(BEGAN, tree_id="another"),
        replace(BEGAN, tree_version=8),
        replace(BEGAN, rules=StoredRules(3, {})),
        replace(BEGAN, shadow="4"),
        replace(BEGAN, repeated=True),
        replace(BEGAN, prior_max=99.0),
    ],
)
def test_each_is_judged_alone_where_they_are_not_judged_by_the_same_or_one_began_before(other: Began) -> None:
    assert not batch(2).is_one([BEGAN, other])
    assert batch(1).is_one([other])
