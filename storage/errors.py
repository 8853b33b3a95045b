"""Name every failure by the policy that answers it.

::

    InopsioError
    ├── InvalidInput      the data is wrong, a retry cannot help  -> dead letter / HTTP 422
    │   ├── InvalidBatch  format, row, column
    │   └── InvalidRule   file, line
    ├── Refused           the actor may not                       -> HTTP 401/403/404 + audit entry
    │   ├── NotSignedIn   who are you                             -> HTTP 401
    │   ├── NotAllowed    you may not                             -> HTTP 403
    │   └── NotFound      absent, or another tenant's             -> HTTP 404
    ├── Unavailable       the world is down                       -> back-off and retry / HTTP 503
    │   └── Overloaded    the house is full                       -> HTTP 429 with Retry-After
    └── PluginError       the house is built wrong                -> do not start

A message names the thing, the place and the way out.
"""


class InopsioError(Exception):
    """Root of every error that this project raises on purpose."""


class InvalidInput(InopsioError):
    """The data is wrong and a retry cannot help: dead letter, or HTTP 422."""


class InvalidBatch(InvalidInput):
    """Bytes or columns that are not what their format says.

    `format`: the parser's FORMAT; `row`: record number from 0, or None; `column`: name, or None.
    """

    def __init__(
        self, message: str, *, format: str = "", row: int | None = None, column: str | None = None
    ) -> None:
        """Keep the place beside the message."""
        super().__init__(message)
        self.format = format
        self.row = row
        self.column = column


class InvalidRule(InvalidInput):
    """A rule that cannot run as written. `file` and `line` say where (line 0: whole file)."""

    def __init__(self, message: str, *, file: str = "", line: int = 0) -> None:
        """Keep the place beside the message."""
        super().__init__(message)
        self.file = file
        self.line = line


class Refused(InopsioError):
    """The actor may not do this. Always audited."""


class NotSignedIn(Refused):
    """No valid session or token: HTTP 401."""


class NotAllowed(Refused):
    """Signed in, but the role does not permit this: HTTP 403."""


class NotFound(Refused):
    """Absent, or another tenant's, which is answered the same way: HTTP 404."""


class Unavailable(InopsioError):
    """Something outside is down; retry with back-off and leave the offset where it is: HTTP 503."""


class Overloaded(Unavailable):
    """The house is full for now: HTTP 429. `retry_after_s` says when to come back."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        """Keep the wait beside the message."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PluginError(InopsioError):
    """The house is built wrong: it does not start, and says which file lacks which name."""
