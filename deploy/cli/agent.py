"""`inopsio agent`: let hosts in, list them, revoke them; their policy, actions on them."""

from datetime import UTC, datetime
from pathlib import Path

import cyclopts

from api.admission import approve_agent, set_needs_approval
from api.agent_packages import command, enrolling, on_windows
from api.authority import authority_of
from api.enrolment import create_enrolment_token, list_agents, restore_agent, revoke_agent
from deploy.cli import _response
from deploy.cli._package import group as package
from deploy.cli._release import group as release
from deploy.house import known_tenant, opened
from deploy.output import DONE, emit, say, show
from deploy.running import agents_url_of, settings_for
from storage.errors import InvalidInput
from storage.sealing import Seal
from storage.tenant import system_scope


def let_in(
    host: str,
    *,
    tenant: str,
    url: str = "",
    enroll_only: bool = False,
    windows: bool = False,
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Give the one line that installs the agent and lets one host in, once, within an hour.

    It installs if the house has packages (`inopsio agent package add`); else it only enrols.

    Parameters
    ----------
    host
        name of the host.
    tenant
        the tenant it belongs to.
    url
        address by which the host reaches the agents' listener (default: this machine's own).
    enroll_only
        the command of a host that has the agent already.
    windows
        the command for a Windows host, in an administrator's PowerShell.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    settings = settings_for(data)
    place = url or agents_url_of(settings)
    if not place:
        raise InvalidInput("the agents' listener is off: INOPSIO_AGENTS_PORT is -1")
    with opened(settings) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio agent let-in")
        known = authority_of(house.database, Seal.of(settings), datetime.now(UTC)).fingerprint
        token = create_enrolment_token(house.database, scope, host)
    line = command(settings.data_dir, place, token, known)
    if enroll_only:
        line = enrolling(place, token, known)
    elif windows:
        line = on_windows(settings.data_dir, place, token, known)
    if json:
        said = {"tenant": tenant, "url": place, "token": token, "ca_fingerprint": known}
        emit({**said, "command": line})
        return DONE
    then = (
        ""
        if windows or "install.sh" in line
        else " Then: inopsio-agent install (or run, to try it)"
    )
    say(f"on {host}, within an hour; the token is shown once.{then}")
    show(line)
    return DONE


def list_(*, tenant: str, data: Path | None = None, json: bool = False) -> int:
    """List the enrolled agents of a tenant, the last seen first.

    Parameters
    ----------
    tenant
        whose agents.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object a line.
    """
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio agent list")
        rows = list_agents(house.database, scope)
    for row in rows:
        if json:
            emit(row)
        else:
            seen = f"seen {row['seen_at']:%Y-%m-%d %H:%M:%S}" if row["seen_at"] else "never seen"
            waits = "waits for approval" * bool(row["waits_since"])
            over = "revoked" * bool(row["revoked_at"]) or "cloned" * bool(row["cloned_at"])
            named = f" (let in as {row['named']})" if row["named"] not in ("", row["host"]) else ""
            show(f"{row['agent_id']}  {row['host']}{named}  {over or waits or seen}")
    return DONE


def revoke(agent_id: str, *, tenant: str, undo: bool = False, data: Path | None = None) -> int:
    """Refuse an agent from its next request on.

    Parameters
    ----------
    agent_id
        which one, as `inopsio agent list` shows it.
    tenant
        whose agent.
    undo
        let a revoked agent in again.
    data
        data folder (default INOPSIO_DATA_DIR).
    """
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio agent revoke")
        if undo:
            restore_agent(house.database, scope, agent_id)
        else:
            revoke_agent(house.database, scope, agent_id, datetime.now(UTC))
    say(f"agent {agent_id} is {'let in again' if undo else 'refused from its next request on'}")
    return DONE


def approve(agent_id: str, *, tenant: str, data: Path | None = None) -> int:
    """Let an agent in that waits for approval; `revoke` refuses it.

    Parameters
    ----------
    agent_id
        which one, as `inopsio agent list` shows it.
    tenant
        whose agent.
    data
        data folder (default INOPSIO_DATA_DIR).
    """
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio agent approve")
        approve_agent(house.database, scope, agent_id)
    say(f"agent {agent_id} is let in; it tries again within two minutes")
    return DONE


def approval(*, tenant: str, off: bool = False, data: Path | None = None) -> int:
    """Let agents that enrol from now on wait for an administrator's approval.

    Parameters
    ----------
    tenant
        whose agents.
    off
        let them in by their token alone, as is the default.
    data
        data folder (default INOPSIO_DATA_DIR).
    """
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio agent approval")
        set_needs_approval(house.database, scope, not off)
    say(f"new agents of {tenant} {'are let in by their token' if off else 'wait for approval'}")
    return DONE


def register(app: cyclopts.App) -> None:
    """Add what is done with hosts, their agents, packages, releases, policy and actions."""
    words = "Let hosts in, list and revoke their agents; set their policy; act on hosts; releases."
    group = cyclopts.App(name="agent", help=words)
    group.command(let_in, name="let-in")
    group.command(list_, name="list")
    group.command(revoke)
    group.command(approve)
    group.command(approval)
    group.command(package())
    group.command(release())
    policy = cyclopts.App(name="policy", help="What agents do: show it, set it.")
    policy.command(_response.policy_show, name="show")
    policy.command(_response.policy_set, name="set")
    group.command(policy)
    group.command(_response.act)
    group.command(_response.act_list, name="actions")
    group.command(_response.act_undo, name="undo")
    app.command(group)
