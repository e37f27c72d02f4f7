"""Every target takes what it begins with, whole and damaged."""

import pytest

from tests.fuzz.targets import targets


@pytest.mark.parametrize("name", targets())
def test_a_target_takes_its_seeds_cut_anywhere(name: str) -> None:
    fuzzed = targets()[name]
    assert fuzzed.seeds
    for seed in (b"", *fuzzed.seeds):
        for stop in range(0, len(seed) + 1, 1 + len(seed) // 64):
            fuzzed.run(seed[:stop])
            fuzzed.run(seed[:stop] + b"\xff\x00" + seed[stop:])
        fuzzed.run(seed)
