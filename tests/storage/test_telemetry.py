import re
import threading

import pytest

from storage.telemetry import METRICS, count, exposition, forget, gauge, values

_UNITS = ("_total", "_messages", "_rows", "_bytes", "_seconds")


def test_counts_of_many_threads_all_arrive() -> None:
    before = values()["inopsio_commits_total"]

    def work() -> None:
        for _ in range(500):
            count("inopsio_commits_total")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values()["inopsio_commits_total"] - before == 4000


def test_a_gauge_says_what_is_now() -> None:
    gauge("inopsio_lag_messages", 7)
    gauge("inopsio_lag_messages", 3)
    assert values()["inopsio_lag_messages"] == 3


def test_a_metric_that_is_not_declared_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="inopsio_guesses_total"):
        count("inopsio_guesses_total")
    with pytest.raises(KeyError, match="inopsio_guesses"):
        gauge("inopsio_guesses", 1)


def test_names_are_unique_and_end_in_a_unit() -> None:
    names = [m.name for m in METRICS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"inopsio_[a-z_]+", n) and n.endswith(_UNITS) for n in names)
    assert all((m.kind == "counter") == m.name.endswith("_total") for m in METRICS)


def test_the_exposition_has_help_type_and_value_of_each() -> None:
    lines = exposition({"inopsio_commits_total": 12_345_678}).splitlines()
    assert len(lines) >= 2 * len(METRICS) + sum(not m.labels for m in METRICS)
    at = lines.index("# TYPE inopsio_commits_total counter")
    assert lines[at - 1 : at + 2] == [
        "# HELP inopsio_commits_total steps committed",
        "# TYPE inopsio_commits_total counter",
        "inopsio_commits_total 12345678",
    ]


def test_a_metric_with_labels_tells_a_tenant_nothing_of_the_others() -> None:
    # Names of its own: the counts of a process are all its tests'.
    for tenant in ("xylo", 'b"zyg\n'):
        count("inopsio_tenant_refused_total", tenant=tenant)
        count("inopsio_tenant_refused_total", tenant=tenant)
    assert 'inopsio_tenant_refused_total{tenant="xylo"} 2\n' in exposition(tenant="xylo")
    assert "zyg" not in exposition(tenant="xylo")
    assert "zyg" not in exposition()
    assert r'{tenant="b\"zyg\n"} 2' in exposition(tenant='b"zyg\n')


def test_labels_that_are_not_declared_are_a_mistake() -> None:
    with pytest.raises(KeyError, match="labels"):
        count("inopsio_tenant_refused_total")
    with pytest.raises(KeyError, match="labels"):
        count("inopsio_commits_total", tenant="acme")


def test_a_gauge_with_labels_forgets_what_is_gone() -> None:
    gauge("inopsio_group_lag_messages", 3, group="g", topic="t", partition="0")
    assert 'inopsio_group_lag_messages{group="g",topic="t",partition="0"} 3\n' in exposition()
    forget("inopsio_group_lag_messages")
    assert "inopsio_group_lag_messages{" not in exposition()
