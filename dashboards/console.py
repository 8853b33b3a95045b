"""Hold what pages work with, and let no callback run without a freshly checked Scope."""

import asyncio
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog
from dash import Dash, no_update, set_props

from api.auth import session_scope
from api.desk import wall_clock_us
from dashboards.backend import this_request
from dashboards.ui.states import problem_box
from storage.audit import write_audit
from storage.database import Database
from storage.errors import InopsioError, NotSignedIn, Refused
from storage.lake import Lake
from storage.settings import Settings
from storage.tenant import Scope

_LOG: Final = structlog.get_logger("console")
PROBLEM: Final = "problem"
"""Id of the place where a callback's failure is told."""


class Handler(Protocol):
    """Answer a callback: the scope first, then the values of inputs and states."""

    __name__: str

    def __call__(self, scope: Scope, *values: Any) -> Any:  # noqa: ANN401  Dash's own values
        """Give the outputs' values."""


class Undo(Protocol):
    """Undo an act in the scope of who asks; give the words to show."""

    def __call__(self, scope: Scope, data: Mapping[str, Any]) -> str:
        """`data` comes back from a browser: check it."""


@dataclass(slots=True)
class Console:
    """Know the application, the ledger and the lake; made once by `mount`, never a global."""

    dash: Dash
    settings: Settings
    database: Database
    lake: Lake
    now_us: Callable[[], int] = wall_clock_us
    grants: dict[str, str] = field(default_factory=dict)
    """Callback id -> the grant it asks for: the list that tests walk."""

    undos: dict[str, tuple[str, Undo]] = field(default_factory=dict)
    """Kind of act -> the grant that undoing it asks for, and how it is undone."""

    def undoable(self, kind: str, grant: str, handler: Undo) -> None:
        """Say how an act of this kind is undone; see `dashboards/ui/toasts.py`."""
        self.undos[kind] = (grant, handler)

    def now(self) -> datetime:
        """Give this moment as an aware datetime."""
        return datetime.fromtimestamp(self.now_us() / 1_000_000, UTC)

    def scoped_callback(
        self,
        *dependencies: Any,  # noqa: ANN401  Dash's own values
        grant: str,
        **options: Any,  # noqa: ANN401  Dash's own values
    ) -> Callable[[Handler], Handler]:
        """Register a callback that runs only in the Scope of this very request's session.

        `grant`: what the actor must be allowed ('' = any signed-in person). The handler gets the
        scope before the values and runs in a thread. What fails is told in the problem box.
        """

        def register(handler: Handler) -> Handler:
            known = set(self.dash.callback_map)

            async def answer(*values: Any) -> Any:  # noqa: ANN401  Dash's own values
                return await asyncio.to_thread(self._answer, grant, handler, values)

            answer.__name__ = handler.__name__
            self.dash.callback(*dependencies, **options)(answer)
            for name in set(self.dash.callback_map) - known:
                self.grants[name] = grant
            return handler

        return register

    def scope_of_request(self) -> Scope:
        """Give the scope of the session that this request carries; NotSignedIn without one."""
        request = this_request()
        found = session_scope(
            request.cookies,
            self.database,
            idle_s=self.settings.session_idle_s,
            is_secure=request.url.scheme == "https",
            now_us=self.now_us(),
        )
        if found is None:
            raise NotSignedIn("sign in first")
        return found

    def _answer(self, grant: str, handler: Handler, values: tuple[Any, ...]) -> Any:  # noqa: ANN401  Dash's own values
        scope = self.scope_of_request()
        try:
            if grant:
                scope.require(grant)
            return handler(scope, *values)
        except NotSignedIn:
            raise
        except Refused as error:
            with self.database.app(scope) as tx:
                told = {"reason": type(error).__name__}
                write_audit(tx, scope, "request.refused", handler.__name__, "refused", told)
            set_props(PROBLEM, {"children": self.problem(error)})
            return no_update
        except Exception as error:  # noqa: BLE001  the page's error box: the page must stay usable
            set_props(PROBLEM, {"children": self.problem(error)})
            return no_update

    def problem(self, error: Exception) -> Any:  # noqa: ANN401  a component
        """Give the box that tells of a failure: our own words, or the trace id alone."""
        trace_id = str(getattr(this_request().state, "trace_id", ""))
        if isinstance(error, InopsioError):
            return problem_box(str(error), trace_id)
        trace = "".join(traceback.format_exception(error, limit=-8))
        _LOG.error("page_crashed", trace_id=trace_id, trace=trace)
        return problem_box("Something went wrong on our side; nothing was changed.", trace_id)
