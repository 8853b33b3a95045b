"""Say what a house needs for a rate, and let a simulation try it: up to a million events a second.

Run: `.venv/bin/python -m benchmarks.capacity [--us 40] [--step-ms 60] [--server-us 25]`, the costs
as `benchmarks.end_to_end` prints them on the machine in question. For each rate the plan (cores
used to 70 %), then 300 s of it in which one process in fifty dies, and the same with a third fewer
processes, which must fall behind: a simulation that cannot fail proves nothing. Exits 1 otherwise.
"""

import argparse
import sys

from benchmarks._capacity import Costs, plan, simulate

RATES = (10_000, 50_000, 100_000, 300_000, 1_000_000)
MOST_LAG_S = 60.0


def main() -> int:
    """Run as a script."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--us", type=float, default=40.0, help="pipelines, CPU µs an event")
    words.add_argument("--step-ms", type=float, default=60.0, help="a step without events")
    words.add_argument("--server-us", type=float, default=25.0, help="database, CPU µs an event")
    words.add_argument("--bytes-in", type=float, default=620.0)
    words.add_argument("--bytes-kept", type=float, default=60.0)
    given = words.parse_args()
    costs = Costs(
        given.us / 1e6, given.step_ms / 1e3, given.server_us / 1e6, given.bytes_in, given.bytes_kept
    )
    head = ("events/s", "processes", "partitions", "db cores", "log MB/s", "lake GB/day")
    seen = ("worst lag s", "last lag s", "too few: lag s")
    print("".join(f"{word:>15}" for word in (*head, *seen)))
    is_well = True
    for rate in RATES:
        need = plan(rate, costs)
        deaths = max(1, need.processes // 50)
        run = simulate(rate, costs, need.processes, need.partitions, deaths=deaths)
        few = max(1, int(rate * costs.pipelines_s * 0.9))
        short = simulate(rate, costs, few, need.partitions, deaths=0)
        row = (
            rate, need.processes, need.partitions, need.database_cores, round(need.log_mb_s),
            round(need.lake_gb_day), round(run.worst_lag_s, 1), round(run.last_lag_s, 1),
            round(short.last_lag_s, 1),
        )  # fmt: skip
        print("".join(f"{value:>15}" for value in row), flush=True)
        is_well &= run.last_lag_s <= MOST_LAG_S
        is_well &= few > rate * costs.pipelines_s or short.last_lag_s > MOST_LAG_S
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
