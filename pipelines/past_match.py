"""Look for indicators in the lake, as the stream would have met them had they been there."""

from collections.abc import Iterator

import structlog

from detectors import indicators
from pipelines.detecting import States, fold
from storage.database import Database
from storage.lake import Lake
from storage.schema import Context, Finding
from storage.schema.indicator import Known
from storage.tenant import Scope

log = structlog.get_logger()
_NAME = indicators.META.name


def past_match(
    database: Database, lake: Lake, scope: Scope, known: Known, since_us: int, until_us: int
) -> Iterator[tuple[int, tuple[Finding, ...]]]:
    """Give, batch by batch in order of time, how many events were read and what they met.

    Of one UTC day or less: what is told once a day is told once. Reads only the columns that can
    name an indicator. A finding's id follows from what it claims.
    """
    states: States = {_NAME: indicators.META.empty_state()}
    context = Context(watermark_us=0, indicators={scope.tenant_id: known})
    batches = lake.restore_batches(database, scope, since_us, until_us, columns=indicators.READS)
    for batch in batches:
        done = fold({_NAME: indicators}, states, [(batch, until_us)], context)
        states = done.states
        if done.poison:
            log.warning("past_match_skipped_rows", rows=len(done.poison), reason=done.poison[0][1])
        yield len(batch), tuple(c for c in done.findings if c.tenant_id == scope.tenant_id)
