"""Run a flow as a plain loop: poll, process, commit; waits while there is nothing."""

from pipelines.lanes import Lanes
from pipelines.running import Flow


def is_available() -> bool:
    """Answer whether this runner can run here: always."""
    return True


def run(flow: Flow | Lanes, once: bool = False) -> None:
    """Run until `flow.stop` is set, or with `once` until the log holds nothing more."""
    while not flow.stop.is_set():
        work = flow.poll()
        if work is not None:
            flow.commit(flow.process(work))
        elif once:
            return
        else:
            flow.stop.wait(flow.linger_s)
