"""Name what stops the agent, in its own words: it shares no code with the house."""


class AgentError(Exception):
    """Say what is wrong and what to do; the command prints it and ends with 1."""


class Away(AgentError):
    """The server cannot be reached or asks to wait; try again after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        """Keep the wait that the server asked for (0 = none)."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Refused(AgentError):
    """The server will not take this batch, however often it is sent; `status` is its answer."""

    def __init__(self, message: str, status: int) -> None:
        """Keep the server's answer."""
        super().__init__(message)
        self.status = status


class BadOrder(AgentError):
    """What came was judged, and is not to be obeyed."""
