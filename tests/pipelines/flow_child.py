"""Run the flow in a process of its own, in small steps; the settings come from the environment."""

import sys

from deploy.running import until_told_to_stop
from pipelines.flow import flow_of, house_of, lanes_of, runner_named, signals_of
from pipelines.lanes import Lanes
from pipelines.running import Flow
from storage.database import Database
from storage.lake import Lake
from storage.log.open import open_log
from storage.settings import Settings


def main(runner: str, poll_rows: int, flow_name: str = "events") -> None:
    """Run the first flow, or the second, until killed."""
    settings = Settings.read()
    house = house_of(settings)
    house = house if flow_name == "events" else signals_of(house)
    database, log = Database.open(settings), open_log(settings)
    lake = Lake(settings.data_dir / "lake")
    flow: Flow | Lanes
    if settings.share:
        flow = lanes_of(settings, database, log, lake, until_told_to_stop(), house, poll_rows)
    else:
        flow = flow_of(settings, database, log, lake, poll_rows=poll_rows, house=house)
    runner_named(runner).run(flow)
    flow.ended()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
