"""End the process when one of its threads cannot go on: its supervisor starts it anew."""

import pytest

from deploy.process import business
from storage.settings import Settings


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_outbox_that_fails_unforeseen_ends_the_process(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise ValueError("unforeseen")

    monkeypatch.setattr(business, "relay", fail)
    business.run(settings)
