"""Known vulnerabilities of what the images install: ``python requirements/audit.py LOCK...``, as ``make audit`` does.

Exit code 1 where there are any. Where the index has no reports, or does not answer, that is said and nothing fails: a
check that needs the Internet would keep people without it from checking anything.
"""

import json
import subprocess
import sys
from pathlib import Path

LIMIT_S = 90.0


def main(locks: list[str]) -> int:
    """Audit lock files; the exit code."""
    tool = Path(sys.executable).with_name("pip-audit")
    command = [str(tool), "--disable-pip", "--require-hashes", "--progress-spinner", "off", "--timeout", "15"]
    command += ["--format", "json", *(part for lock in locks for part in ("--requirement", lock))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        found = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        print(f"audit: no answer within {LIMIT_S:g} s; nothing was audited")
        return 0
    except (OSError, ValueError, KeyError):
        print("audit: the index does not answer; nothing was audited")
        return 0
    return report(found)


def report(found: list[dict[str, object]]) -> int:
    """Say what pip-audit found of each dependency; the exit code."""
    audited = [one for one in found if "vulns" in one]
    bad = [(one, vulnerability) for one in audited for vulnerability in one["vulns"]]  # type: ignore[attr-defined]
    for one, vulnerability in bad:
        fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
        print(f"audit: {one['name']} {one['version']}: {vulnerability['id']}; mended in {fixed}")
    if not audited:
        print("audit: the index has no reports of vulnerabilities; nothing was audited")
    elif not bad:
        print(f"audit: nothing known against {len(audited)} of {len(found)} packages; the index knows no others")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
