"""End the process when one of its flows cannot go on: its supervisor starts it anew."""

from typing import Any

import pytest

from deploy.process import pipelines
from pipelines.flow import run_flow as real
from storage.settings import Settings


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("ailing", ["events", "signals"])
def test_a_flow_that_ends_unforeseen_ends_the_other_and_the_process(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, ailing: str
) -> None:
    def run_flow(*given: Any, **options: Any) -> None:  # noqa: ANN401  handed on as they came
        if options["house"].flow == ailing:
            raise ValueError("unforeseen")
        real(*given, **options)

    monkeypatch.setattr(pipelines, "run_flow", run_flow)
    if ailing == "events":
        with pytest.raises(ValueError, match="unforeseen"):
            pipelines.run(settings)
    else:
        pipelines.run(settings)
