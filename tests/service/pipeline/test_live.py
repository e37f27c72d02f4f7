"""A source as one replica serves it."""

import numpy as np

from models.members.event import Observed
from models.sample import REPLAY, Sample
from models.vocabulary import END
from models.windows import Windows
from service.pipeline.live import LiveSource
from tests.service.serving import blocks_bundle


def test_a_version_goes_live_with_the_windows_of_its_training_known() -> None:
    bundle = blocks_bundle()
    live = LiveSource(bundle.source, bundle.tree(), bundle, "cpu", 1)
    assert live.judge is not None
    member = next(member for member in live.judge.events if member.name == "deeplog")
    sample = Sample.read(bundle.files[REPLAY])
    line = sample.key != END
    nothing = np.arange(line.sum())
    member.score(Observed(Windows(sample.history[line], nothing, nothing, np.zeros(len(nothing))), sample.key[line]))
    assert member.take_counts() == (len(nothing), 0)
