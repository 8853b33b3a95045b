"""Run the flow in a process of its own, in small steps; the settings come from the environment."""

import sys

from pipelines.flow import flow_of, house_of, runner_named, signals_of
from storage.database import Database
from storage.lake import Lake
from storage.log.open import open_log
from storage.settings import Settings


def main(runner: str, poll_rows: int, flow_name: str = "events") -> None:
    """Run the first flow, or the second, until killed."""
    settings = Settings.read()
    house = house_of(settings)
    flow = flow_of(
        settings,
        Database.open(settings),
        open_log(settings),
        Lake(settings.data_dir / "lake"),
        poll_rows=poll_rows,
        house=house if flow_name == "events" else signals_of(house),
    )
    runner_named(runner).run(flow)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
