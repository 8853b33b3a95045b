import inspect

import pytest

from storage import errors
from storage.errors import (
    InopsioError,
    InvalidBatch,
    InvalidInput,
    InvalidRule,
    NotFound,
    Overloaded,
    PluginError,
    Refused,
    Unavailable,
)

_BRANCHES = (InvalidInput, Refused, Unavailable, PluginError)


def test_every_error_belongs_to_exactly_one_branch() -> None:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c is not InopsioError]
    assert {c.__name__: sum(issubclass(c, b) for b in _BRANCHES) for c in classes} == {
        c.__name__: 1 for c in classes
    }


def test_every_error_is_in_the_drawing() -> None:
    drawing = inspect.getdoc(errors) or ""
    names = [n for n, c in inspect.getmembers(errors, inspect.isclass)]
    assert [n for n in names if n not in drawing] == []


def test_an_error_keeps_its_place() -> None:
    batch = InvalidBatch("bad", format="zeek", row=7, column="ts")
    assert (str(batch), batch.format, batch.row, batch.column) == ("bad", "zeek", 7, "ts")
    rule = InvalidRule("bad", file="a.yml", line=3)
    assert (str(rule), rule.file, rule.line) == ("bad", "a.yml", 3)
    assert Overloaded("full", retry_after_s=5).retry_after_s == 5


def test_another_tenants_object_is_absent_and_not_forbidden() -> None:
    with pytest.raises(Refused):
        raise NotFound("incident 7")
    assert not issubclass(NotFound, errors.NotAllowed)
