"""Run medallion, the TAXII 2.1 server of OASIS, on loopback with its memory backend."""

import contextlib
import logging
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import medallion
from flask import Flask
from medallion.backends.memory_backend import MemoryBackend
from werkzeug.serving import make_server

COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
OTHER = "52892447-4d7e-4f70-b94d-d7f22742ff63"
USER, PASSWORD = "feeds", "s3cr3t-canary"
START = datetime(2026, 10, 1, tzinfo=UTC)


@dataclass
class Taxii:
    """The server's address and what it holds."""

    port: int
    data: dict[str, Any]

    def url(self, path: str = "/taxii2/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def add(self, value: str, added: datetime, name: str = "", **more: Any) -> str:  # noqa: ANN401  STIX's own
        """Add an indicator for a domain, as the server says at `added`; give its id."""
        name = name or f"indicator--{uuid.uuid4()}"
        modified = f"{added:%Y-%m-%dT%H:%M:%S.%f}Z"
        one = {
            "type": "indicator",
            "spec_version": "2.1",
            "id": name,
            "created": modified,
            "modified": modified,
            "pattern": f"[domain-name:value = '{value}']",
            "pattern_type": "stix",
            "valid_from": "2026-09-01T00:00:00Z",
        } | more
        place = self.data["root"]["collections"][0]
        place["objects"].append(one)
        place["manifest"].append(
            {"id": name, "date_added": modified, "version": modified}
            | {"media_type": "application/stix+json;version=2.1"}
        )
        return name


def _collection(name: str, title: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401  TAXII's own
    return {
        "id": name,
        "title": title,
        "can_read": True,
        "can_write": False,
        "media_types": ["application/stix+json;version=2.1"],
        "objects": [],
        "manifest": [],
    } | more


@contextlib.contextmanager
def taxii_server(page: int = 100) -> Iterator[Taxii]:
    """Lend a server with one collection to read, `page` objects at most a page."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    logging.getLogger("medallion").setLevel(logging.CRITICAL)
    app = Flask("medallion")
    backend = MemoryBackend(check_interval=3600)
    given = {"users_backend": {USER: PASSWORD}, "medallion_backend": backend}
    vars(app).update(given, taxii_config={"max_page_size": page})
    for code in (medallion.ProcessingError, medallion.BackendError):
        app.register_error_handler(code, medallion.handle_processing_error)
    medallion.register_blueprints(app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    told = Taxii(server.server_port, {})
    told.data |= {
        "/discovery": {
            "title": "A TAXII server",
            "default": told.url("/root/"),
            "api_roots": [told.url("/none/"), told.url("/root/")],
        },
        "root": {
            "information": {
                "title": "Root",
                "versions": ["application/taxii+json;version=2.1"],
                "max_content_length": 9_765_625,
            },
            "status": [],
            "collections": [
                _collection(COLLECTION, "Indicators", alias="best"),
                _collection(OTHER, "Sealed", can_read=False),
            ],
        },
    }
    backend.data = told.data
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def days(count: int) -> timedelta:
    return timedelta(days=count)
