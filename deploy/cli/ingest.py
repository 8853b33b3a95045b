"""`inopsio ingest`: carry files and folders into the running system."""

from collections.abc import Iterable
from pathlib import Path

import cyclopts

from deploy.house import known_tenant, opened
from deploy.ingest import Result, carry, read_only
from deploy.output import DONE, PARTLY, emit, say, table
from deploy.running import settings_for
from storage.tenant import system_scope, tenant_name


def ingest(
    *paths: Path,
    tenant: str,
    format: str | None = None,
    dry_run: bool = False,
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Read files and folders of logs into the running system; formats are found by content.

    Ends when the pipelines have read everything: 0 = all of it, 3 = some records or files were
    refused, each named. The same file again changes nothing.

    Parameters
    ----------
    paths
        files, folders, archives (zip, gz, zst, tar); members are named a.zip!member.
    tenant
        whose events these are.
    format
        the parser to use instead of looking at the content.
    dry_run
        only read and count; needs no running system.
    data
        data folder of the running system (default INOPSIO_DATA_DIR).
    json
        print one JSON object a file.
    """
    if dry_run:
        return _report(read_only(paths, tenant_name(tenant), format), json=json)
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio ingest")
        return _report(carry(house, scope, paths, format), json=json)


def _report(results: Iterable[Result], *, json: bool) -> int:
    whole = True
    rows = []
    for result in results:
        whole = whole and result.is_whole()
        if json:
            emit(result.row())
        else:
            rows.append(result.row())
        if result.reason is not None:
            is_named = result.reason.startswith(result.file)
            say(result.reason if is_named else f"{result.file}: {result.reason}")
    if not json:
        table(rows, ["file", "format", "events", "rejected", "reason"])
    return DONE if whole else PARTLY


def register(app: cyclopts.App) -> None:
    """Add `ingest`."""
    app.command(ingest)
