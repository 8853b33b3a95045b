"""Trust the house's authority and nobody else: TLS as an agent speaks it."""

import ssl
from pathlib import Path
from typing import Any, Final

from agent.errors import AgentError

HOUSE: Final = "agents.inopsio.internal"
"""What every listener is called in its certificate, by whatever address it is reached."""


class _ToHouse(ssl.SSLContext):
    """Ask for the house's one name: addresses change, and it certifies no other server."""

    def wrap_socket(self, *given: Any, **named: Any) -> ssl.SSLSocket:  # noqa: ANN401  ssl's own
        """Wrap as ssl does, for the house's name."""
        return super().wrap_socket(*given, **{**named, "server_hostname": HOUSE})


def trusting(authority: str) -> ssl.SSLContext:
    """Give TLS 1.3 that trusts this authority (PEM) alone, and the house's name."""
    context = _ToHouse(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority)
    return context


def context_of(folder: Path) -> ssl.SSLContext:
    """Give TLS 1.3 that trusts the authority in an agent's folder and shows its certificate."""
    context = trusting((folder / "authority.pem").read_text(encoding="ascii"))
    try:
        context.load_cert_chain(folder / "identity.pem")
    except (OSError, ssl.SSLError) as error:
        raise AgentError(f"the agent's key cannot be read: {error}; enrol again") from error
    return context
