import json
from pathlib import Path

from storage.restarts import MOST_DEATHS, STATE_FILE, STEADY_S
from storage.tenant import Role
from tests.api.conftest import START_US, Front


def _died(front: Front, times: int) -> None:
    folder = Path(front.app.state.desk.settings.data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    told = {"deaths": {"pipelines": [START_US / 1_000_000] * times}}
    (folder / STATE_FILE).write_text(json.dumps(told))


def test_a_house_whose_process_dies_again_and_again_is_not_ready_and_says_why(front: Front) -> None:
    browser = front.browser()
    _died(front, MOST_DEATHS)
    assert browser.get("/v1/health/ready").status_code == 200
    _died(front, MOST_DEATHS + 1)
    answer = browser.get("/v1/health/ready")
    assert answer.status_code == 503
    assert f"pipelines died {MOST_DEATHS + 1} times in 5 minutes" in answer.text
    front.clock.forward(int(STEADY_S))
    assert browser.get("/v1/health/ready").status_code == 200


def test_the_status_names_the_process(front: Front) -> None:
    _died(front, MOST_DEATHS + 1)
    told = front.bearer(front.acme, Role.VIEWER).get("/v1/health/status").json()
    assert (told["status"], told["restarting"]) == ("degraded", ["pipelines"])
