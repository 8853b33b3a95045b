"""Subscribe to feeds on the page of intelligence, see how they go, and how the past is searched."""

import hashlib
from typing import Any, Final

from dash import ALL, Input, Output, State, ctx, dcc, html, no_update

from dashboards.console import Console
from dashboards.ui.cards import panel
from dashboards.ui.controls import act_button
from dashboards.ui.feeds import DIALOG, feed_dialog, match_list, subscription_list
from dashboards.ui.states import Part
from dashboards.ui.toasts import TOASTS, toast
from storage.errors import InopsioError
from storage.indicator_matches import newest_matches
from storage.indicators import GRANT
from storage.sealing import Seal
from storage.settings import Secret
from storage.subscriptions import (
    LONGEST_SECRET,
    NewSubscription,
    add_subscription,
    drop_subscription,
    list_subscriptions,
    pause_subscription,
    poll_now,
)
from storage.tenant import Scope

READ: Final = "findings:read"
_SHOWN: Final = 8
_LOOK_MS: Final = 3_000
_UNDO: Final = "feed.pause"


def add_button(scope: Scope) -> Part:
    """Give the button that opens the dialog, to those who may add a feed."""
    return act_button("Add a feed", "feed-new", second=False) if scope.may(GRANT) else None


def feed_panels(console: Console, scope: Scope) -> list[Part]:
    """Give the feeds that are polled and the searches of the past; both look again on their own."""
    polled, searched, seen = _both(console, scope)
    return [
        panel("Polled feeds", html.Div(polled, id="feed-list", **{"aria-live": "polite"})),
        panel("The past", html.Div(searched, id="match-list", **{"aria-live": "polite"})),
        dcc.Interval(id="feed-tick", interval=_LOOK_MS),
        dcc.Store(id="feed-seen", data=seen),
        feed_dialog() if scope.may(GRANT) else None,
    ]


def _both(console: Console, scope: Scope) -> tuple[Part, Part, str]:
    """Give both lists, and what tells whether they changed."""
    with console.database.app(scope) as tx:
        polled = list_subscriptions(scope, tx)
        searched = newest_matches(scope, tx, _SHOWN)
    seen = hashlib.blake2b(repr((polled, searched)).encode(), digest_size=8).hexdigest()
    now, may_write = console.now(), scope.may(GRANT)
    return (
        subscription_list(polled, now, may_write=may_write),
        match_list(searched, now),
        seen,
    )


def register(console: Console) -> None:
    """Register the look, the dialog, and what can be done with a feed."""

    def look(scope: Scope, _ticks: Any, seen: Any) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        polled, searched, now_seen = _both(console, scope)
        return (no_update,) * 3 if now_seen == seen else (polled, searched, now_seen)

    console.scoped_callback(
        Output("feed-list", "children"),
        Output("match-list", "children"),
        Output("feed-seen", "data"),
        Input("feed-tick", "n_intervals"),
        State("feed-seen", "data"),
        grant=READ,
        prevent_initial_call=True,
    )(look)
    _register_add(console)
    _register_acts(console)


def _register_add(console: Console) -> None:
    def show(scope: Scope, clicks: Any) -> Any:  # noqa: ANN401, ARG001  Dash's own values
        return True if clicks else no_update

    console.scoped_callback(
        Output(DIALOG, "opened"),
        Input("feed-new", "n_clicks"),
        grant=GRANT,
        prevent_initial_call=True,
    )(show)

    def add(scope: Scope, clicks: Any, *values: Any) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        if not clicks:
            return (no_update,) * 5
        try:
            new = _new(values)
            with console.database.app(scope) as tx:
                add_subscription(scope, tx, Seal.of(console.settings), new)
        except InopsioError as wrong:
            said = html.P(str(wrong)[:300], className="bad", role="alert")
            return no_update, no_update, no_update, said, no_update
        words = f"'{new.feed.strip()[:60]}' is polled within seconds."
        return _both(console, scope)[0], False, "", None, toast(words)

    console.scoped_callback(
        Output("feed-list", "children", allow_duplicate=True),
        Output(DIALOG, "opened", allow_duplicate=True),
        Output("feed-secret", "value"),
        Output("feed-said", "children"),
        Output(TOASTS, "children", allow_duplicate=True),
        Input("feed-add", "n_clicks"),
        *(State(f"feed-{name}", "value") for name in ("name", "kind", "url", "collection")),
        *(State(f"feed-{name}", "value") for name in ("auth", "secret", "every")),
        grant=GRANT,
        prevent_initial_call=True,
    )(add)


def _new(values: tuple[Any, ...]) -> NewSubscription:
    """Read what a browser sends; what is wrong with it is said when it is kept."""
    feed, kind, url, collection, auth, secret = (
        str(v or "")[: LONGEST_SECRET + 1] for v in values[:6]
    )
    every = values[6] if isinstance(values[6], int) else 0
    return NewSubscription(feed, kind, url, collection, auth, Secret(secret), every)


def _register_acts(console: Console) -> None:
    def act(scope: Scope, clicks: Any) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        asked = ctx.triggered_id
        if not isinstance(asked, dict) or not any(clicks or ()):
            return no_update, no_update
        said = _done(console, scope, str(asked.get("act")), str(asked.get("feed")))
        return _both(console, scope)[0], said

    console.scoped_callback(
        Output("feed-list", "children", allow_duplicate=True),
        Output(TOASTS, "children", allow_duplicate=True),
        Input({"type": "feed-act", "act": ALL, "feed": ALL}, "n_clicks"),
        grant=GRANT,
        prevent_initial_call=True,
        # A list that is drawn anew meanwhile would make the browser drop this answer.
        running=[(Output("feed-tick", "disabled"), True, False)],
    )(act)

    def undo(scope: Scope, data: Any) -> str:  # noqa: ANN401  what the toast was given
        paused = bool(data.get("paused"))
        with console.database.app(scope) as tx:
            pause_subscription(scope, tx, str(data.get("feed")), paused=paused)
        return "Undone: it is paused." if paused else "Undone: it is polled again."

    console.undoable(_UNDO, GRANT, undo)


def _done(console: Console, scope: Scope, act: str, feed: str) -> Part:
    """Do one act; give the toast that tells of it."""
    try:
        with console.database.app(scope) as tx:
            if act == "poll":
                poll_now(scope, tx, feed)
                return toast("It is polled within seconds.")
            if act == "drop":
                drop_subscription(scope, tx, feed)
                return toast("It is polled no more; its indicators stay.")
            pause_subscription(scope, tx, feed, paused=act == "pause")
    except InopsioError as wrong:
        return toast(str(wrong)[:300], is_bad=True)
    words = (
        "It is polled no more until you let it run." if act == "pause" else "It is polled again."
    )
    return toast(words, (_UNDO, {"feed": feed, "paused": act != "pause"}))
