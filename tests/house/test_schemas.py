"""No published schema changes in a way that breaks readers or older messages."""

import copy
import json
from pathlib import Path

from deploy.schemas import RELEASED, freeze, hindrances, released, told
from storage.wire.changes import version_of
from storage.wire.documents import documents


def test_schemas_of_now_follow_those_released() -> None:
    assert hindrances(documents(told())) == []


def test_every_schema_has_a_released_copy() -> None:
    now = documents(told())
    assert set(released()) == set(now)
    assert len(list(RELEASED.glob("*.json"))) >= len(now)


def test_field_that_goes_or_comes_as_a_must_is_refused_in_every_schema() -> None:
    for name, document in documents(told()).items():
        major, minor = version_of(document)
        now = copy.deepcopy(document)
        now["$id"] = f"{str(document['$id']).rpartition(':')[0]}:{major}.{minor + 1}"
        data = now["properties"].get("data", now)
        field = next(iter(data["properties"]))
        data["properties"]["must"] = {"type": "string"}
        del data["properties"][field]
        data["required"] = [*data["required"], "must"]
        lines = hindrances({**documents(told()), name: now})
        assert any(f"lost field '{field}'" in line for line in lines), name
        assert any("newly requires 'must'" in line for line in lines), name


def test_released_copy_is_never_written_over(tmp_path: Path) -> None:
    assert set(freeze(tmp_path)) == {path.name for path in RELEASED.glob("*.json")}
    kept = tmp_path / "finding-1.0.json"
    kept.write_text(json.dumps({"$id": "urn:inopsio:schema:finding:1.0"}))
    assert freeze(tmp_path) == []
    assert "properties" not in json.loads(kept.read_text())
