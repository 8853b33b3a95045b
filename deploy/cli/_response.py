"""Policies of agents and actions on their hosts, for `inopsio agent`."""

import getpass
import json as written
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api.agent_actions import action_of, actions, ask, undo
from api.agent_policy import policies, read_document, remove_policy, set_policy, wanted_policy
from deploy.house import known_tenant, opened
from deploy.output import DONE, emit, say, show
from deploy.running import settings_for
from storage.errors import InvalidInput
from storage.tenant import system_scope


def policy_show(
    *, tenant: str, agent: str | None = None, history: bool = False, data: Path | None = None
) -> int:
    """Print the policy that agents should run, as JSON; `policy set` takes it back.

    Parameters
    ----------
    tenant
        whose agents.
    agent
        one agent's id: what it should run.
    history
        print who made which version when instead.
    data
        data folder (default INOPSIO_DATA_DIR).
    """
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio agent policy show")
        if history:
            for one in policies(house.database, scope):
                whose = one.agent_id or "all agents"
                emit(
                    {
                        "version": one.version,
                        "of": whose,
                        "made_by": one.made_by,
                        "made_at": one.made_at,
                        "note": one.note,
                        "is_removed": one.is_removed,
                    }
                )
            return DONE
        found = wanted_policy(house.database, scope, agent)
    say(f"version {found.version}, {'its own' if found.agent_id else 'that of all agents'}")
    show(found.document.model_dump_json(indent=2))
    return DONE


def policy_set(
    file: Path | None = None,
    *,
    tenant: str,
    agent: str | None = None,
    note: str = "",
    remove: bool = False,
    data: Path | None = None,
) -> int:
    """Set the policy of all agents, or of one, from a JSON file; agents take it in a beat.

    Parameters
    ----------
    file
        the policy, as `policy show` prints it.
    tenant
        whose agents.
    agent
        one agent's id: a policy of its own.
    note
        why it is changed.
    remove
        take the agent's own policy back instead.
    data
        data folder (default INOPSIO_DATA_DIR).
    """
    if remove == (file is not None):
        raise InvalidInput("give a file, or --agent and --remove")
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio agent policy set")
        now = datetime.now(UTC)
        if file is None:
            made = remove_policy(house.database, scope, agent or "", now)
        else:
            document = read_document(_text(file))
            made = set_policy(house.database, scope, document, now, agent, note)
    say(f"version {made.version} is set")
    return DONE


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as wrong:
        raise InvalidInput(f"{file} cannot be read: {wrong}") from wrong


def act(
    agent: str,
    kind: str,
    arguments: str = "{}",
    *,
    tenant: str,
    note: str,
    dry: bool = False,
    data: Path | None = None,
) -> int:
    """Ask for an action on a host; what changes the host waits for a person in the console.

    Parameters
    ----------
    agent
        the agent's id.
    kind
        isolate, block_ip, block_hash, collect, maps, suspend, kill or query.
    arguments
        JSON, as in '{"minutes": 30}'.
    tenant
        whose agent.
    note
        why.
    dry
        say what would be done, and do nothing.
    data
        data folder (default INOPSIO_DATA_DIR).
    """
    try:
        given: Any = written.loads(arguments)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise InvalidInput("arguments: a JSON object, as '{\"minutes\": 30}'")
    with opened(settings_for(data)) as house:
        person = f"user:{os.environ.get('SUDO_USER') or getpass.getuser()}"
        made_by = system_scope(known_tenant(house, tenant), "inopsio agent act")
        scope = replace(made_by, actor=replace(made_by.actor, behind=person))
        now = datetime.now(UTC)
        made = ask(house.database, scope, agent, kind, given, now, note=note, is_dry=dry)
    emit({"action_id": made["action_id"], "state": made["state"]})
    return DONE


def act_list(
    *,
    tenant: str,
    agent: str | None = None,
    action: str | None = None,
    data: Path | None = None,
) -> int:
    """List actions on hosts, the newest first, a JSON object a line.

    Parameters
    ----------
    tenant
        whose.
    agent
        of this agent only.
    action
        this action only.
    data
        data folder (default INOPSIO_DATA_DIR).
    """
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio agent actions")
        if action:
            found = [action_of(house.database, scope, action)]
        else:
            found = actions(house.database, scope, agent)
    for row in found:
        emit(row)
    return DONE


def act_undo(action: str, *, tenant: str, data: Path | None = None) -> int:
    """Take an action on a host back.

    Parameters
    ----------
    action
        the action's id.
    tenant
        whose.
    data
        data folder (default INOPSIO_DATA_DIR).
    """
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio agent undo")
        made = undo(house.database, scope, action, datetime.now(UTC))
    emit({"action_id": made["action_id"], "kind": made["kind"], "state": made["state"]})
    return DONE
