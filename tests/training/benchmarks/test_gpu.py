"""The GPU benchmark runs, and finds torch and the graph to agree, where its device is the CPU."""

import pytest

from tests.bench import gpu, material


@pytest.mark.slow
def test_both_networks_are_measured_and_agree_with_the_graph() -> None:
    report = gpu.measured("cpu", "no device", repeats=1, shrink=2_000)
    assert [row.name for row in report.rows] == ["deeplog, CPU", "deeplog, device", "cldtlog, CPU", "cldtlog, device"]
    assert all(row.value > 0 for row in report.rows)
    name, deeplog, cldtlog = report.notes
    assert name == "no device"
    assert deeplog.startswith("deeplog by torch; outputs ")
    assert deeplog.endswith("(within 0.0001), ranks differ in 0 of 10 windows")
    assert cldtlog.startswith("cldtlog by torch")
    assert "NOT" not in cldtlog


def test_without_a_device_it_says_so() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(material.Absent, match="no CUDA device"):
        gpu.run(material.Settings(1, None, None))
