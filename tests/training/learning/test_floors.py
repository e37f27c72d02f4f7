"""Real anomalies may lose raw output, not evidence."""

import numpy as np
import orjson
import pytest

from models.ensemble import Ensemble
from models.errors import BundleError
from training.learning.floors import floors
from training.learning.teaching import Part

RAWS = np.concatenate([np.zeros(90), np.arange(10.0)])


def part(name: str, content: bytes) -> Part:
    return Part(name, {}, {"ensemble.json": content}, 8.0)


def test_a_member_may_fall_as_far_as_its_calibration_tells_no_difference() -> None:
    ensemble = Ensemble.fit({"deeplog": RAWS}, 0.05)
    given = part("deeplog", orjson.dumps(ensemble.to_dict()))
    ringing = np.array([8.5, 9.0, 9.5, 1e9])
    low = floors(given, ringing)
    assert low == pytest.approx([8.0, 8.0, 9.0, 9.0])
    assert (low <= ringing).all()
    for one, other in zip(low, ringing, strict=True):
        assert ensemble.evidence({"deeplog": [one]}) == ensemble.evidence({"deeplog": [other]})
        assert ensemble.evidence({"deeplog": [np.nextafter(one, 0)]}) < ensemble.evidence({"deeplog": [other]})


def test_a_detector_that_stands_alone_may_fall_to_its_bar() -> None:
    assert floors(Part("autolog", {}, {}, 8.0), np.array([9.0, 1e9])).tolist() == [8.0, 8.0]
    ensemble = orjson.dumps(Ensemble.fit({"deeplog": RAWS}, 0.05).to_dict())
    assert floors(part("autolog", ensemble), np.array([9.0])).tolist() == [8.0]


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"members": {"deeplog": {}}}'])
def test_a_damaged_ensemble_is_a_damaged_bundle(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"ensemble.json is damaged"):
        floors(part("deeplog", content), np.array([9.0]))
