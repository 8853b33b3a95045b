from pipelines.parsers.ocsf_json import matches, parse

ONE = b"""{"class_uid":1007,"activity_id":1,"time":1600740815797,"tenant_id":"evil",
"process":{"pid":7,"file":{"path":"/bin/sh"}},"severity_id":"x","unmapped":{"a":"b"},"other":1}
"""


def test_known_columns_are_typed_and_the_rest_stays_addressable() -> None:
    assert matches(ONE) == 0.9
    (found,) = parse([ONE.replace(b"\n", b"")])
    row = found.frame.row(0, named=True)
    assert row.pop("time").isoformat() == "2020-09-22T02:13:35.797000+00:00"
    assert row == {
        "position": 0,
        "class_uid": 1007,
        "activity_id": 1,
        "process.pid": 7,
        "process.file.path": "/bin/sh",
        "severity_id": None,
        "unmapped.severity_id": "x",
        "unmapped.a": "b",
        "unmapped.other": "1",
        "unmapped.tenant_id": "evil",
    }
