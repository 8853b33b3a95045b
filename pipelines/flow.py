"""Run the pipelines' flows.

The first: the raw topic in, events, findings, signals and counts out. The second: the signals in,
what they say together out.
"""

import gc
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from detectors import CONTRACT as DETECTOR_CONTRACT
from pipelines import signals
from pipelines.attempts import FILE, Attempts
from pipelines.dead_letter import RAW_TOPIC
from pipelines.decode import parse_run
from pipelines.detecting import meta_of
from pipelines.lanes import GROUP, Lanes, Membership, partitions_in
from pipelines.ledger import DatabaseLedger
from pipelines.runners import bytewax, loop
from pipelines.running import Flow
from pipelines.sinks import CONTRACT as SINK_CONTRACT
from pipelines.sources.event_log import POLL_BYTES, POLL_ROWS
from pipelines.step import House
from pipelines.tenant_rules import TenantRules
from pipelines.windows import WINDOW_S
from storage.database import Database
from storage.database.commit import Sink, end_lanes
from storage.database.commit import lanes_of as claimed_lanes
from storage.errors import InvalidInput, PluginError
from storage.lake import Lake
from storage.log import EventLog
from storage.outcome import ALL
from storage.plugins import discover
from storage.schema import Context
from storage.settings import Settings

FLOW: Final = "events"
_GC: Final = (50_000, 20, 100)
ALONE: Final = "alone"
"""Word of the setting `share` for one process that reads all partitions again."""
RULES: Final = Path(__file__).resolve().parent.parent / "detectors" / "rules"
RUNNERS: Final = {"loop": loop, "bytewax": bytewax}


def run_flow(
    settings: Settings,
    database: Database,
    log: EventLog,
    lake: Lake,
    runner: str | None = None,
    stop: threading.Event | None = None,
    once: bool = False,
    monotonic_s: Callable[[], float] = time.monotonic,
    house: House | None = None,
) -> None:
    """Run until `stop` is set, or with `once` until the log holds nothing more.

    `runner`: `auto`, `bytewax` or `loop`; the settings' if not given. `house`: of the first flow
    (default) or the second, see `signals_of`. PluginError if a plug-in is built wrong; the world
    being down is waited out.
    """
    house = house or house_of(settings)
    flow: Flow | Lanes
    if settings.share in {"", ALONE}:
        _check_alone(settings, database, house.flow)
        flow = flow_of(settings, database, log, lake, stop, monotonic_s, house=house)
    else:
        flow = lanes_of(settings, database, log, lake, stop or threading.Event(), house)
    # What is loaded by now stays for good: collections need not walk it again for every batch.
    gc.collect()
    gc.freeze()
    # A poll holds some ten thousand messages: walking them every few thousand objects costs more
    # than half of reading them.
    gc.set_threshold(*_GC)
    try:
        runner_named(runner or settings.runner).run(flow, once)
    finally:
        flow.ended()


def flow_of(
    settings: Settings,
    database: Database,
    log: EventLog,
    lake: Lake,
    stop: threading.Event | None = None,
    monotonic_s: Callable[[], float] = time.monotonic,
    poll_rows: int = POLL_ROWS,
    poll_bytes: int = POLL_BYTES,
    house: House | None = None,
    ledger: DatabaseLedger | None = None,
) -> Flow:
    """Put the flow together from the plug-ins found; a runner drives it.

    `ledger`: of the one lane that the flow is to work; of all partitions if not given.
    """
    ledger = ledger or DatabaseLedger(database, sinks_of(settings))
    house = house or house_of(settings)
    file = FILE if house.flow == FLOW else f"{house.flow}-{FILE}"
    lane = ledger.lane
    attempts = Attempts(settings.data_dir / (file if lane == ALL else f"{lane}-{file}"))
    return Flow(
        house, settings, log, ledger, lake, stop, monotonic_s, poll_rows, poll_bytes, attempts, lane
    )


def lanes_of(
    settings: Settings,
    database: Database,
    log: EventLog,
    lake: Lake,
    stop: threading.Event,
    house: House,
    poll_rows: int = POLL_ROWS,
) -> Lanes:
    """Put the flows of this process's share of the partitions together; a runner drives them."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    sinks = sinks_of(settings)

    def make(lane: int) -> tuple[Flow, DatabaseLedger]:
        ledger = DatabaseLedger(database, sinks, lane, owner)
        flow = flow_of(
            settings, database, log, lake, stop, house=house, poll_rows=poll_rows, ledger=ledger
        )
        return flow, ledger

    linger_s = settings.linger_ms / 1000
    if settings.share == GROUP:
        share = Membership(log, house.flow, house.topic, owner)
        share.start()
        return Lanes(make, share.owned, stop, linger_s, share.leave)
    given = partitions_in(settings.share, log.partitions(house.topic))
    return Lanes(make, lambda: given, stop, linger_s)


def _check_alone(settings: Settings, database: Database, flow: str) -> None:
    """Pass if no processes share the flow; with `alone`, let none have shared it."""
    if settings.share == ALONE:
        end_lanes(database, flow)
    elif claimed_lanes(database, flow):
        raise InvalidInput(
            f"flow '{flow}' is shared by processes: set INOPSIO_SHARE=group here too, or stop them "
            f"all and set INOPSIO_SHARE={ALONE} to drop what was learnt by partition"
        )


def sinks_of(settings: Settings) -> list[Sink]:
    """Find the sinks, and leave out those that the settings do not ask for."""
    found = discover("pipelines.sinks", SINK_CONTRACT).values()
    chosen = [m.choose(settings) if hasattr(m, "choose") else m.write for m in found]
    return [write for write in chosen if write is not None]


def runner_named(name: str) -> ModuleType:
    """Give the runner of that name; `auto` is bytewax where it is installed, else the loop."""
    if name == "auto":
        return bytewax if bytewax.is_available() else loop
    if name not in RUNNERS:
        raise InvalidInput(f"runner '{name}' is unknown; one of: auto, {', '.join(RUNNERS)}")
    found = RUNNERS[name]
    if not found.is_available():
        raise PluginError(f"runner '{name}' is not installed for this Python; use 'loop'")
    return found


def house_of(settings: Settings, rules: Sequence[Path] = (), flow: str = FLOW) -> House:
    """Find the detectors and compile the rules: the house's own, the settings' and `rules`.

    Gives the first flow; `flow`: what it is called in the ledger.
    """
    detectors = find_detectors()
    given = [Path(folder) for folder in settings.rules_dirs.split(":") if folder]
    folders = [*([RULES] if RULES.is_dir() else []), *given, *rules]
    return House(
        flow=flow,
        topic=RAW_TOPIC,
        batch_rows=settings.batch_rows,
        window_s=WINDOW_S,
        detectors=_of_flow(detectors, FLOW),
        context=Context(watermark_us=0, rules=_compiled(detectors, folders, settings.data_dir)),
        parse=parse_run,
    )


def signals_of(house: House) -> House:
    """Give the second flow beside the first: the claims of all detectors in, correlations out."""
    return replace(
        house,
        flow=signals.FLOW,
        topic=signals.TOPIC,
        detectors=_of_flow(find_detectors(), signals.FLOW),
        parse=signals.parse_signals,
        keeps_events=False,
        address=signals.addressed,
        mark=signals.mark,
    )


def with_tenant_rules(house: House, database: Database) -> tuple[House, TenantRules]:
    """Give the house with the tenants' own rules, read now, and what looks for changes of them."""
    own = TenantRules(database, partial(_compiled_texts, house.context.rules.get("")))
    own.look()
    return replace(house, tenant_rules=lambda: own.sets), own


def _compiled_texts(beside: object, texts: Mapping[str, bytes]) -> object:
    for module in find_detectors().values():
        compile_texts = getattr(module, "compile_texts", None)
        if compile_texts is not None:
            return compile_texts(texts, beside=beside)
    return None


def _of_flow(detectors: Mapping[str, ModuleType], flow: str) -> dict[str, ModuleType]:
    return {name: module for name, module in detectors.items() if meta_of(module).flow == flow}


def find_detectors() -> dict[str, ModuleType]:
    """Give detector name -> module, for every detector found in the folder."""
    found = discover("detectors", DETECTOR_CONTRACT).values()
    return {meta_of(module).name: module for module in found}


def _compiled(
    detectors: Mapping[str, ModuleType], folders: Sequence[Path], data_dir: Path
) -> dict[str, Any]:
    """Hand the folders to the detector that compiles rules; "" are the house's own."""
    for module in detectors.values():
        compile_rules = getattr(module, "compile_rules", None)
        if compile_rules is not None:
            return {"": compile_rules(folders, cache=data_dir / "cache" / "rules.json")}
    return {}
