"""A body is a callback's only where it stands for what the pages gave out, patterns too."""

from typing import Any

import pytest
from dash import ALL, Dash, Input, Output, State

from dashboards.backend import is_asked


def known() -> dict[str, Any]:
    app = Dash("test")
    act = {"type": "act", "feed": ALL}
    app.callback(Output("a", "children"), Input(act, "n_clicks"), State("b", "data"))(
        lambda clicks, data: (clicks, data)
    )
    return dict(app.callback_map)


def body(*inputs: object) -> dict[str, Any]:
    return {
        "output": "a.children",
        "outputs": {"id": "a", "property": "children"},
        "inputs": list(inputs),
        "state": [{"id": "b", "property": "data", "value": 1}],
        "changedPropIds": ['{"feed":"x","type":"act"}.n_clicks'],
    }


def several(**name: object) -> dict[str, object]:
    return {"id": {"type": "act", **name}, "property": "n_clicks", "value": 1}


def test_a_pattern_stands_for_none_one_or_more() -> None:
    for given in ([], [several(feed="x")], [several(feed="x"), several(feed=7)]):
        assert is_asked(body(given), known())


@pytest.mark.parametrize(
    "given",
    [
        [several()],
        [several(feed="x", more="y")],
        [several(feed=["x"])],
        [several(feed="x") | {"property": "children"}],
        [several(feed="x") | {"id": {"type": "other", "feed": "x"}}],
        {"id": "b", "property": "n_clicks"},
        several(feed="x"),
        7,
    ],
)
def test_what_the_pages_gave_out_no_such_thing_for_is_refused(given: object) -> None:
    assert not is_asked(body(given), known())


def test_a_plain_place_takes_no_pattern() -> None:
    wrong = body([several(feed="x")]) | {"state": [[]]}
    assert not is_asked(wrong, known())
    assert not is_asked(body(), known())
