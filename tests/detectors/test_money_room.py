"""See that rewritten files name the money that lies on a machine, and everyday files do not."""

from detectors import money_room
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold

PAPER = {"class_uid": 999001, "activity_id": 5, "document.uid": "INV-77"}
ITEM = {"class_uid": 999004, "activity_id": 1, "item.uid": "IT-5"}


def _file(path: str, host: str = "FS-01") -> dict[str, object]:
    fields = {"device.hostname": host, "file.path": path, "actor.user.name": "CORP\\ann"}
    return {"class_uid": 1001, "activity_id": 5, **fields}


def _found(*rows: dict[str, object], tenant: str = "acme") -> list[Finding]:
    timed = [
        {"tenant_id": tenant, "time_us": START_US + n * MINUTE_US} | row
        for n, row in enumerate(rows)
    ]
    return fold(money_room, batches(frame_of(timed), []))[1]


def test_the_document_is_named_and_nothing_is_held_by_it() -> None:
    (claim,) = _found(PAPER, _file("D:\\Invoices\\inv-77.pdf.qzk9"))
    assert (claim.entity, claim.level, claim.kind) == ("fs-01", "low", "signal")
    assert set(claim.links) == {("document", "INV-77"), ("user", "ann")}
    assert len(claim.event_ids) == 2


def test_items_are_named_too_and_each_once_a_day() -> None:
    files = [_file(f"/srv/stock/IT-5{n}.xlsx.locked") for n in (" a", " b")]
    assert [("item", "IT-5") in f.links for f in _found(ITEM, *files)] == [True]


def test_documents_keep_their_ending() -> None:
    assert _found(PAPER, _file("D:\\Invoices\\INV-77.pdf"), _file("D:\\INV-77.zip")) == []


def test_numbers_that_no_book_knows_or_only_later_say_nothing() -> None:
    strange = _file("D:\\INV-78.pdf.qzk9"), _file("D:\\x INV-77.pdf.qzk9"), _file("INV-77")
    assert _found(PAPER, *strange) == []
    assert _found(_file("D:\\INV-77.pdf.qzk9"), PAPER) == []


def test_another_tenants_number_is_not_known() -> None:
    assert _found(PAPER | {"tenant_id": "bolt"}, _file("D:\\INV-77.pdf.qzk9")) == []


def test_of_very_many_only_some_are_told() -> None:
    papers = [PAPER | {"document.uid": f"INV-{n}"} for n in range(60)]
    assert len(_found(*papers, *[_file(f"D:\\INV-{n}.pdf.x9x") for n in range(60)])) == 20
