"""Remakes every figure of docs/figures.md, one suite after another: `python -m benchmarks [--quick]`."""

from __future__ import annotations

import subprocess
import sys

#: Suites in the order they run; each writes its own file into benchmarks/results/.
SUITES = ("engine", "planner", "song", "turns", "memory", "models", "adaptive")


def main() -> int:
    """Run all; the exit code says how many failed."""
    failed = []
    for suite in SUITES:
        print(f"\n== {suite}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{suite}", *sys.argv[1:]], check=False)
        if done.returncode:
            failed.append(suite)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
