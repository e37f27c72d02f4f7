"""How far the raw outputs of real anomalies may fall when a detector is taught.

Owns the rule alone. Does not know detectors, nor how the gate adds evidence up.
"""

import numpy as np
import orjson

from models.calibration import Calibration
from models.errors import BundleError
from models.registry import ENSEMBLE
from models.sessions import Float64
from training.learning.teaching import Part


def floors(part: Part, raws: Float64) -> Float64:
    """For the raw outputs float64 [k] of real anomalies that ring, those to which they may fall without a loss of
    evidence: the bar of a detector that stands alone, else the least that its calibration holds to be as rare. Raises
    BundleError where the bundle's ensemble is damaged."""
    try:
        own = orjson.loads(part.files.get(ENSEMBLE, b"{}")).get("members", {}).get(part.name)
        if own is None:
            return np.full(len(raws), part.bar)
        calibration = Calibration.from_dict(own["calibration"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{ENSEMBLE} is damaged ({error}); restore the bundle") from error
    return np.fmax(part.bar, [calibration.bar(float(tail)) for tail in calibration.tail(raws)])
