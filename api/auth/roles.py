"""Read roles from text, and say who may give which role to others."""

from collections.abc import Iterable
from typing import Final

from storage.errors import NotAllowed
from storage.tenant import Role, Scope

_BY_ADMIN: Final = frozenset(Role) - {Role.OPERATOR}
_WORDS: Final = {r.value: r for r in Role}


def roles_of(stored: object) -> frozenset[Role]:
    """Give the roles of a stored list; words that are no role any more give no right.

    >>> sorted(roles_of(["viewer", "emperor"]))
    [<Role.VIEWER: 'viewer'>]
    """
    words = stored if isinstance(stored, list) else []
    return frozenset(_WORDS[w] for w in words if w in _WORDS)


def check_givable(scope: Scope, roles: Iterable[Role]) -> None:
    """Pass, or raise NotAllowed: only an operator makes operators."""
    above = set() if Role.OPERATOR in scope.roles else set(roles) - _BY_ADMIN
    if above:
        names = ", ".join(sorted(r.value for r in above))
        raise NotAllowed(f"{scope.actor.name} may not give the role {names}")
