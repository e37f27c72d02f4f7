"""``docs/first-hour.md`` holds what it promises: each step is run as it is written."""

import os
import random
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRANSCRIPT = ROOT / "docs/first-hour.md"
ORDERS = 1_200
PATIENCE_S = 1_200
"""Training takes a minute or two where nothing else runs."""
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def orders(seed: int = 5) -> list[str]:
    """A shop's log that ends now, which nothing here was trained on: orders side by side, each step after step."""
    chance = random.Random(seed)
    began = datetime.now(UTC) - timedelta(seconds=2.5 * ORDERS + 60)
    lines: list[tuple[datetime, str]] = []
    for number in range(ORDERS):
        time, order = began + timedelta(seconds=2.5 * number), f"ord-{chance.randrange(16**8):08x}"
        steps = [f"received from 10.0.{chance.randrange(9)}.{chance.randrange(250)}"]
        steps.append(f"reserved {chance.randrange(1, 9)} items in warehouse {chance.choice('ABC')}")
        if chance.random() < 0.2:
            steps.append(f"payment retried after timeout of {chance.randrange(200, 900)} ms")
        steps.append(f"payment of {chance.randrange(100, 9999) / 100} EUR authorised")
        steps += [f"parcel P{chance.randrange(10**6)} handed to courier", "closed"]
        for step in steps:
            time += timedelta(seconds=chance.expovariate(0.5))
            lines.append((time, f"{order} {step}"))
    return [
        f"{time:%Y-%m-%d %H:%M:%S},{time.microsecond // 1000:03d} INFO [shop] {text}" for time, text in sorted(lines)
    ]


def blocks() -> list[tuple[str, str]]:
    """Each step with what it is said to print."""
    found = [(kind, text) for kind, text in _BLOCK.findall(TRANSCRIPT.read_text())]
    return [
        (text, found[at + 1][1] if found[at + 1 : at + 2] and found[at + 1][0] == "text" else "")
        for at, (kind, text) in enumerate(found)
        if kind == "sh"
    ]


def reads_as(said: str, printed: str) -> bool:
    """Whether what is printed has the lines that were said, in their order; ``...`` stands for anything."""
    wanted = [re.sub(r"(\\\s)*\\\.\\\.\\\.(\\\s)*", ".*", re.escape(line)) for line in said.splitlines()]
    return re.search("(?s)" + ".*".join(wanted), printed) is not None


def test_what_is_said_is_held_against_what_is_printed() -> None:
    assert reads_as("... b ... d\n", "a\nb c d e\n")
    assert reads_as("a\n... c\n", "a\nb\nc")
    assert not reads_as("... b ...\n", "a\nc\n")
    assert not reads_as("c\na\n", "a\nb\nc\n")


@pytest.mark.slow
def test_each_step_of_the_first_hour_does_what_it_says(tmp_path: Path, require_program: Callable[[str], str]) -> None:
    for program in ("bash", "make", "curl"):
        require_program(program)
    log = tmp_path / "orders.log"
    log.write_text("\n".join(orders()) + "\n")
    steps = blocks()
    assert len(steps) >= 9
    script = "".join(f"printf '\\n@@ step {at}\\n'\n{text}" for at, (text, _) in enumerate(steps))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    told = {"LOG": str(log), "URL": f"http://127.0.0.1:{port}", "TOCSIN_PORT": str(port), "DEMO_PORT": "0"}
    environment = inherited | told | {"HOME": str(tmp_path), "MAKEFLAGS": ""}
    shell = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        printed = shell.communicate(timeout=PATIENCE_S)[0]
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        printed = shell.communicate()[0]
        pytest.fail(f"not done after {PATIENCE_S} s:\n{printed[-4000:]}")
    finally:
        if shell.poll() is None or shell.returncode:
            # What was started beside goes with it.
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
    parts = re.split(r"^@@ step \d+$", printed, flags=re.MULTILINE)[1:]
    assert shell.returncode == 0, printed[-4000:]
    assert len(parts) == len(steps)
    for (text, said), part in zip(steps, parts, strict=True):
        assert reads_as(said, part), f"{text}\nwas said to print\n{said}\nand printed\n{part[-4000:]}"
