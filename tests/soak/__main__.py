"""Run the soak test, and print its results. The exit code is 1 if a conflict was reported."""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.soak.watch import soak, summary


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="./ops/soak", description=__doc__)
    parser.add_argument("--lives", type=int, default=2000, help="number of processes")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        report = soak(options.lives, options.seed, Path(folder), crowd=True)
    sys.stdout.write(summary(report) + "\n")
    return int(bool(report.alarms))


if __name__ == "__main__":
    sys.exit(main())
