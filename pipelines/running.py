"""Hold a running flow: look at the log, do a step, commit it; the ledger decides.

The ledger (PostgreSQL) is the authority: start offsets, state and source positions are read from
it, and a step is committed in one transaction only if the ledger stands where the step began.
After any failure the flow goes back to the ledger and reads again.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import polars as pl
import structlog

from pipelines.attempts import MOST, Attempts
from pipelines.decode import Parse, Run, runs_of, unknown_origins
from pipelines.detecting import meta_of
from pipelines.ledger import Ledger
from pipelines.parsers import Reject
from pipelines.poison import isolate, reason_of
from pipelines.shards import join_shards
from pipelines.sources.event_log import POLL_BYTES, POLL_ROWS, EventLogReader
from pipelines.step import FLOW_CLOCK, NOTHING, FlowState, House, Poll, Skip, step
from pipelines.watermark import NEVER, restored
from storage import telemetry
from storage.errors import InvalidInput, PluginError, Unavailable
from storage.lake import Lake
from storage.log import EventLog, Message
from storage.outcome import ALL, Outcome
from storage.schema import EventBatch
from storage.settings import Settings

log = structlog.get_logger()
_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 30.0
_MOST_POSITIONS: Final = 50_000
_T = TypeVar("_T")
_Found = tuple[EventBatch, list[Reject]]


@dataclass(frozen=True, slots=True)
class Work:
    """One poll to be processed. `generation`: what was read before the last rewind is void."""

    generation: int
    poll: Poll
    lane: int = ALL


@dataclass(frozen=True, slots=True)
class Done:
    """One processed poll to be committed; `outcome` is None where a step raised."""

    work: Work
    outcome: Outcome | None


class Flow:
    """Hold a running flow between `poll`, `process` and `commit`; a runner calls them in order.

    A runner may process the next poll before it commits the last. One thread only.
    """

    def __init__(
        self,
        house: House,
        settings: Settings,
        log: EventLog,
        ledger: Ledger,
        lake: Lake | None = None,
        stop: threading.Event | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        poll_rows: int = POLL_ROWS,
        poll_bytes: int = POLL_BYTES,
        attempts: Attempts | None = None,
        lane: int = ALL,
    ) -> None:
        """Begin nowhere: the first poll asks the ledger.

        `lane`: the one partition to read, with a state of its own; all if not given.
        """
        self.lane = lane
        self._attempts = attempts or Attempts()
        self._house = house
        self._settings = settings
        self._log = log
        self._ledger = ledger
        self._lake = lake
        self.stop = stop or threading.Event()
        self._monotonic_s = monotonic_s
        self._poll_rows = poll_rows
        self._poll_bytes = poll_bytes
        self._tenant_rules: Mapping[str, Any] = {}
        self._generation = 0
        self._state: FlowState | None = None
        self._reader: EventLogReader | None = None
        self.in_flight = 0
        """Polls given out and not yet committed."""

    @property
    def linger_s(self) -> float:
        """How long a runner waits after a poll that gave nothing."""
        return self._settings.linger_ms / 1000

    def poll(self) -> Work | None:
        """Give the next work; None if there is none, or if `stop` was set while waiting."""
        found = self._patiently(self._poll)
        self.in_flight += found is not None
        return found

    def process(self, work: Work) -> Done:
        """Do the step in memory; what it made is to be committed."""
        return self._patiently(lambda: self._process(work)) or Done(work, None)

    def commit(self, done: Done) -> None:
        """Write the outcome in one transaction; what cannot be written goes to the dead letter."""
        self.in_flight -= 1
        self._patiently(lambda: self._commit(done))

    def rewind(self) -> None:
        """Forget everything since the last commit; the next poll asks the ledger."""
        self._generation += 1
        self._state = None
        self._reader = None
        self._attempts.broken_off()

    def ended(self) -> None:
        """Tell that the run ended in good order: what is not committed did not end the process."""
        self._attempts.broken_off()

    def _patiently(self, action: Callable[[], _T]) -> _T | None:
        wait_s = _FIRST_WAIT_S
        while not self.stop.is_set():
            try:
                return action()
            except Unavailable as down:
                log.warning("flow_waits", flow=self._house.flow, reason=str(down), wait_s=wait_s)
                self.stop.wait(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
        return None

    def _load(self) -> tuple[FlowState, EventLogReader]:
        if self._state is None or self._reader is None:
            house, settings = self._house, self._settings
            standing = self._ledger.standing(house.flow, house.topic)
            every = range(self._log.partitions(house.topic)) if self.lane == ALL else [self.lane]
            offsets = dict.fromkeys(every, 0) | dict(standing.offsets)
            told = standing.state.get(FLOW_CLOCK)
            flow_us = int.from_bytes(told, "little", signed=True) if told else NEVER
            marks = restored(standing.watermarks_us, flow_us, settings.lateness_s, settings.idle_s)
            metas = [meta_of(module) for module in house.detectors.values()]
            states = {meta.name: join_shards(meta, standing.state) for meta in metas}
            self._state = FlowState(marks, offsets, {}, states)
            starts = {p: self._start(p, offset) for p, offset in offsets.items()}
            self._reader = EventLogReader(
                self._log,
                house.topic,
                starts,
                self._poll_rows,
                self._poll_bytes,
                None if self.lane == ALL else [self.lane],
            )
        return self._state, self._reader

    def _start(self, partition: int, offset: int) -> int:
        """Give where to read on: at the start of a log that holds less than was read already.

        It was set aside, or restored from a backup; what it repeats is known by its positions.
        """
        topic = self._house.topic
        end = self._log.end(topic, partition)
        if offset <= end:
            return offset
        log.warning("log_is_behind", topic=topic, partition=partition, read_to=offset, end=end)
        return 0

    def _poll(self) -> Work | None:
        if self._attempts.is_careful and self.in_flight:
            return None
        self._take_rules()
        state, reader = self._load()
        now_s = (
            self._monotonic_s()
        )  # before the look: a stall during it must not look like idleness
        messages, at_end = reader.look(1 if self._attempts.is_careful else None)
        if self._house.address is not None:
            messages = tuple(self._house.address(message) for message in messages)
        work = Work(self._generation, Poll(messages, at_end, now_s), self.lane)
        if messages:
            return work
        quiet = state.watermarks.polled(at_end, now_s)
        if self.in_flight:
            return None
        self._state = replace(state, watermarks=quiet)
        return work if quiet.advanced(now_s).flow_us != quiet.flow_us else None

    def _take_rules(self) -> None:
        """Go on with the tenants' rules and indicators of this moment."""
        if self._house.indicators is not None:
            told = self._house.indicators()
            if told is not self._house.context.indicators:
                context = replace(self._house.context, indicators=told)
                self._house = replace(self._house, context=context)
        given = self._house.tenant_rules
        if given is None or (sets := given()) is self._tenant_rules:
            return
        self._tenant_rules = sets
        context = self._house.context
        rules = {**sets, "": context.rules.get("")}
        self._house = replace(self._house, context=replace(context, rules=rules))

    def _process(self, work: Work) -> Done:
        if work.generation != self._generation:
            return Done(work, None)
        try:
            state = self._with_positions(self._load()[0], work.poll.messages)
            after, outcome = step(self._house_for(work.poll), state, work.poll)
        except (Unavailable, PluginError):
            raise
        except Exception as error:  # noqa: BLE001  consume loop: commit finds the row
            log.warning("step_raised", flow=self._house.flow, reason=reason_of(error))
            return Done(work, None)
        self._state = after
        return Done(work, outcome)

    def _house_for(self, poll: Poll) -> House:
        """Give the house; for a message that keeps ending the process, one that refuses it."""
        deaths = self._attempts.begin(poll.messages)
        if deaths < MOST or not self._attempts.is_careful:
            return self._house
        reason = f"ended the process {deaths} times when read alone; it is not read again"
        log.error("message_refused", flow=self._house.flow, reason=reason)
        return replace(self._house, parse=_refuse(reason))

    def _with_positions(self, state: FlowState, messages: tuple[Message, ...]) -> FlowState:
        missing = unknown_origins(messages, state.positions)
        if not missing:
            return state
        known = dict.fromkeys(missing, 0) | self._ledger.positions(missing)
        kept = state.positions
        # Not while another step is uncommitted: the ledger does not know its positions yet.
        if len(kept) > 2 * _MOST_POSITIONS and self.in_flight <= 1:
            kept = dict(list(kept.items())[-_MOST_POSITIONS:])
        return replace(state, positions={**kept, **known})

    def _commit(self, done: Done) -> None:
        if done.work.generation != self._generation:
            return
        if done.outcome is not None:
            try:
                if not self._deliver(done.outcome):
                    self.rewind()
                return
            except (Unavailable, PluginError):
                raise
            except Exception as error:  # noqa: BLE001  consume loop: the bad row is sought below
                log.warning("commit_raised", flow=self._house.flow, reason=reason_of(error))
        self.rewind()
        # What other polls hold is void now; the rows of this one are settled here and now.
        self._settle(done.work.poll, self._house, NOTHING)
        self.rewind()

    def _deliver(self, outcome: Outcome) -> bool:
        outcome = self._with_lake(outcome)
        if not self._ledger.commit(outcome):
            log.info("step_void", flow=outcome.flow)
            return False
        self._attempts.committed({s.partition: s.next_offset for s in outcome.steps})
        _count(outcome)
        return True

    def _with_lake(self, outcome: Outcome) -> Outcome:
        moved = [s for s in outcome.steps if s.next_offset > s.expected]
        if self._lake is None or not outcome.batches or not moved:
            return outcome
        # One write for the whole step; its name needs only one partition's offsets, as those belong
        # to one committed step.
        at = moved[0]
        files = self._lake.write(
            outcome.batches, at.topic, at.partition, at.expected, at.next_offset - 1
        )
        return replace(outcome, lake_files=tuple(files))

    def _settle(self, poll: Poll, house: House, skip: Skip) -> None:
        """Commit the poll around its bad rows, in halves if need be, a whole message at worst."""
        if not poll.messages:
            raise PluginError("a step without messages raises; see the log lines before this one")
        state = self._with_positions(self._load()[0], poll.messages)
        try:
            after, outcome = step(house, state, poll, skip)
            if self._deliver(outcome):
                self._state = after
            return None
        except (Unavailable, PluginError):
            raise
        except Exception as error:  # noqa: BLE001  consume loop: the bad row is sought below
            reason = reason_of(error)
        house = replace(house, parse=_remembered(house.parse))
        if not skip.reasons:
            bad = self._bad_rows(house, state, poll)
            if bad:
                return self._settle(poll, house, Skip(bad))
        if len(poll.messages) > 1:
            half = len(poll.messages) // 2
            for part in (poll.messages[:half], poll.messages[half:]):
                self._settle(replace(poll, messages=part, caught_up={}), house, NOTHING)
            return None
        return self._put_aside(poll, house, reason)

    def _put_aside(self, poll: Poll, house: House, reason: str) -> None:
        """Refuse the poll's one message; without its headers if they are what cannot be written."""
        house = replace(house, parse=_refuse(reason))
        for message in (poll.messages[0], replace(poll.messages[0], headers={})):
            try:
                state = self._with_positions(self._load()[0], (message,))
                after, outcome = step(house, state, replace(poll, messages=(message,)))
                if self._deliver(outcome):
                    self._state = after
                return
            except (Unavailable, PluginError):
                raise
            except Exception as error:  # noqa: BLE001  consume loop: tried once more, then told
                reason = reason_of(error)
        place = f"{message.topic}/{message.partition}@{message.offset}"
        raise PluginError(f"message {place} cannot even be put aside: {reason}")

    def _bad_rows(self, house: House, state: FlowState, poll: Poll) -> dict[str, str]:
        ids = [found for run in runs_of(poll.messages) for found in _ids_of(house.parse, run)]

        def trial(rows: pl.DataFrame) -> None:
            only = Skip(only=frozenset(rows["event_id"]))
            _, outcome = step(house, state, poll, only)
            self._ledger.check(self._with_lake(outcome))

        rows = pl.DataFrame({"event_id": ids}, schema={"event_id": pl.String})
        return {ids[row]: reason for row, reason in isolate(rows, trial).bad}


def _ids_of(parse: Parse, run: Run) -> list[str]:
    """Give the ids of the run's events, read as `decode_each` does."""
    ids: list[str] = []
    try:
        for batch, _ in parse(run):
            ids.extend(batch.frame["event_id"])
    except InvalidInput:  # what cannot be read becomes a dead letter in the step
        if len(run) > 1:
            return [found for message in run for found in _ids_of(parse, (message,))]
    return ids


def _remembered(parse: Parse) -> Parse:
    """Parse each run once; for the few polls that are gone through again and again."""
    seen: dict[tuple[int, int, int], tuple[list[_Found], InvalidInput | None]] = {}

    def again(run: Run) -> Iterator[_Found]:
        place = (run[0].partition, run[0].offset, run[-1].offset)
        if place not in seen:
            found: list[_Found] = []
            error: InvalidInput | None = None
            try:
                found.extend(parse(run))
            except InvalidInput as wrong:
                error = wrong
            seen[place] = (found, error)
        found, error = seen[place]
        yield from found
        if error is not None:
            raise error

    return again


def _refuse(reason: str) -> Parse:
    def refuse(_run: Run) -> Iterator[_Found]:
        raise InvalidInput(reason)

    return refuse


def _count(outcome: Outcome) -> None:
    rows = [batch.frame for batch in outcome.batches]
    telemetry.count("inopsio_events_read_total", sum(frame.height for frame in rows))
    telemetry.count("inopsio_events_late_total", sum(int(f["is_late"].sum()) for f in rows))
    telemetry.count(
        "inopsio_events_clamped_total", sum(int(f["is_time_clamped"].sum()) for f in rows)
    )
    telemetry.count("inopsio_records_rejected_total", len(outcome.dead_letters))
    for detector, skipped in outcome.left_out.items():
        log.error("detector_left_out", detector=detector, rows=skipped)
        telemetry.count("inopsio_detector_rows_skipped_total", skipped)
    telemetry.count("inopsio_findings_total", len(outcome.findings))
    telemetry.count("inopsio_commits_total")
