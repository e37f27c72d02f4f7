"""Processes of a service as the system tells of them (Linux)."""

from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
ESTABLISHED = "01"


def workers_of(parent: int) -> list[int]:
    """Processes that uvicorn started to serve under the one that was started."""
    found = []
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):
            above = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if above == parent and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return sorted(found)


def clients_of(process: int, port: int) -> list[int]:
    """Ports of the clients whose connections to ``port`` a process has; none where it has ended."""
    rows = [line.split() for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]]
    established = {f"socket:[{row[9]}]": row for row in rows if row[3] == ESTABLISHED}
    held = []
    with suppress(FileNotFoundError):
        for descriptor in (PROC / str(process) / "fd").iterdir():
            with suppress(FileNotFoundError):
                row = established.get(str(descriptor.readlink()))
                if row is not None and int(row[1].split(":")[1], 16) == port:
                    held.append(int(row[2].split(":")[1], 16))
    return held
