"""Run a campaign by hand: `python -m tests.faults kills --home cluster --seed 7 --each 15`."""

import argparse
import sys
import time

from tests.faults.campaign import campaign
from tests.faults.plan import plan


def main() -> int:
    """Do what the words say; exit code 1 if a promise did not hold."""
    words = argparse.ArgumentParser(prog="python -m tests.faults")
    words.add_argument("what", choices=["kills"])
    words.add_argument("--home", choices=["embedded", "cluster"], default="embedded")
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--each", type=int, default=5)
    words.add_argument("--kinds", default="")
    words.add_argument("--per-s", type=float, default=10.0)
    given = words.parse_args()
    kinds = [kind for kind in given.kinds.split(",") if kind]
    verdict, table = campaign(plan(given.home, given.seed, given.each, kinds, given.per_s), _say)
    print(table)
    return 0 if verdict.is_good else 1


def _say(what: str) -> None:
    print(time.strftime("%H:%M:%S"), what, flush=True)


if __name__ == "__main__":
    sys.exit(main())
