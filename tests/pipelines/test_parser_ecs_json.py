import json

from pipelines.parsers.ecs_json import matches, parse

EVENTS = [
    {
        "@timestamp": "2020-09-22T02:13:35.797Z",
        "ecs": {"version": "8.11"},
        "event": {"category": ["process"], "type": ["start"], "dataset": "endpoint.process"},
        "process": {"executable": "/bin/sh", "pid": 7, "parent": {"executable": "/sbin/init"}},
        "user": {"name": "eve"},
        "host": {"name": "ws1"},
    },
    {
        "@timestamp": "2020-09-22T02:13:36Z",
        "event": {"category": ["network"], "type": ["connection", "start"], "outcome": "failure"},
        "source": {"ip": "10.0.0.1", "port": 5000},
        "destination": {"ip": "10.0.0.2", "port": 53},
        "dns": {"question": {"name": "a.example"}},
    },
]


def test_category_type_and_fields_become_ocsf() -> None:
    text = b"\n".join(json.dumps(e).encode() for e in EVENTS)
    assert matches(text) == 0.8
    (found,) = parse([text])
    frame = found.frame
    assert frame["class_uid"].to_list() == [1007, 4003]
    assert frame["activity_id"].to_list() == [1, 1]
    assert frame["status_id"].to_list() == [None, 2]
    assert frame["process.file.path"].to_list() == ["/bin/sh", None]
    assert frame["process.pid"].to_list() == [7, None]
    assert frame["dst_endpoint.port"].to_list() == [None, 53]
    assert frame["unmapped.event.type"].to_list() == ["start", "connection\nstart"]
    assert frame["time"].null_count() == 0
