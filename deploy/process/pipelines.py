"""Read the raw topic, detect, commit."""

from deploy.house import opened
from deploy.running import until_told_to_stop
from pipelines.flow import run_flow
from storage.settings import Settings


def run(settings: Settings) -> None:
    """Run the flow until told to stop."""
    stop = until_told_to_stop()
    with opened(settings) as house:
        run_flow(settings, house.database, house.log, house.lake, stop=stop)
