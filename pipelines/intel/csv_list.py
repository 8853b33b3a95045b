"""Read indicators from CSV with a head line.

Columns: `type,value,valid_from` and, where known, `valid_until,confidence,labels,tlp`; labels are
parted by `;`, times are RFC 3339 with a zone. Other columns are left alone.
"""

import csv
import io
from typing import Final

from pipelines.intel import Feed, Refusal
from pipelines.intel.times import micros
from storage.errors import InvalidBatch, InvalidInput
from storage.schema.indicator import Indicator, normal

FORMAT: Final = "indicator_csv"
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_ROWS: Final = 1_000_000
MAX_LABELS: Final = 20
_NEEDED: Final = frozenset({"type", "value", "valid_from"})


def read(data: bytes, feed: str) -> Feed:
    """Give every indicator of the file and every row refused, by its number from 0.

    Raises InvalidBatch where the file as a whole is not such a CSV or is over the bounds.
    """
    if len(data) > MAX_BYTES:
        raise InvalidBatch(f"a file over {MAX_BYTES} bytes: split it", format=FORMAT)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidBatch("not UTF-8: save the file as UTF-8", format=FORMAT) from None
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    good: list[Indicator] = []
    bad: list[Refusal] = []
    number = -1
    try:
        if not set(rows.fieldnames or ()) >= _NEEDED:
            raise InvalidBatch("no head line type,value,valid_from: add it", format=FORMAT)
        for number, row in enumerate(rows):
            if number >= MAX_ROWS:
                raise InvalidBatch(f"over {MAX_ROWS} rows: split the file", format=FORMAT)
            try:
                good.append(_indicator(row, feed))
            except InvalidInput as why:
                bad.append(Refusal(str(number), str(why)))
    except csv.Error as why:
        raise InvalidBatch(
            f"broken quoting ({why}): correct the row", format=FORMAT, row=number + 1
        ) from None
    return Feed(tuple(good), tuple(bad))


def _indicator(row: dict[str, str | None], feed: str) -> Indicator:
    kind, value = normal((row["type"] or "").strip().lower(), row["value"] or "")
    begin = micros(row["valid_from"] or None)
    if begin is None:
        raise InvalidInput("valid_from is missing: say from when the indicator holds")
    sure = (row.get("confidence") or "50").strip()
    if not (sure.isascii() and sure.isdigit() and len(sure) <= 3):
        raise InvalidInput("confidence is no whole number: write 0..100")
    labels = [one.strip()[:100] for one in (row.get("labels") or "").split(";")]
    return Indicator(
        *(kind, value, begin, micros(row.get("valid_until") or None), int(sure), feed),
        labels=tuple(dict.fromkeys(one for one in labels if one))[:MAX_LABELS],
        tlp=(row.get("tlp") or "").strip().lower()[:20],
    )
