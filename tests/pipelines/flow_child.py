"""Run the flow in a process of its own, in small steps; the settings come from the environment."""

import sys

from pipelines.flow import flow_of, runner_named
from storage.database import Database
from storage.lake import Lake
from storage.log.open import open_log
from storage.settings import Settings


def main(runner: str, poll_rows: int) -> None:
    """Run until killed."""
    settings = Settings.read()
    flow = flow_of(
        settings,
        Database.open(settings),
        open_log(settings),
        Lake(settings.data_dir / "lake"),
        poll_rows=poll_rows,
    )
    runner_named(runner).run(flow)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
