"""Read role names that a command was given."""

from storage.errors import InvalidInput
from storage.tenant import Role


def roles_named(names: list[str]) -> frozenset[Role]:
    """Give the roles; InvalidInput lists the ones there are."""
    try:
        return frozenset(Role(name) for name in names)
    except ValueError as unknown:
        known = ", ".join(r.value for r in Role if r is not Role.OPERATOR)
        raise InvalidInput(f"{unknown}; roles are: {known}") from None
