import gzip
import subprocess
import sys
from pathlib import Path

import cyclopts
import orjson
import pytest

from deploy.cli import score
from deploy.output import DONE, FAILED, PARTLY
from storage.errors import InvalidInput
from tests.shared import shared_data

HEAD = b"timestamp,value\n"
GOOD = b"2026-01-01 00:00:00,1\n2026-01-01 00:05:00,2\n"


def run(*words: str | Path) -> int:
    app = cyclopts.App(result_action="return_value")
    score.register(app)
    code = app([str(word) for word in words])
    assert isinstance(code, int)
    return code


def rows(text: bytes) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in text.splitlines()]


def test_alerts_of_a_real_series_lie_in_it_and_say_why(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    file = shared_data("nab") / "realAWSCloudwatch" / "elb_request_count_8c0756.csv.gz"
    assert run("score", file, "--json") == DONE
    scores = {r["row"]: r for r in rows(capfdbinary.readouterr().out)}
    assert list(scores) == list(range(4032))
    assert run("score", file, "--json", "--alerts") == DONE
    alerts = rows(capfdbinary.readouterr().out)
    assert alerts
    for alert in alerts:
        assert alert.pop("reason")
        assert scores[alert["row"]] == alert


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (HEAD + b"2026-01-01,x\n" + GOOD, 2, "'x' in 'value' is no finite number"),
        (HEAD + b"2026-01-01,nan\n" + GOOD, 2, "'nan' in 'value' is no finite number"),
        (HEAD + GOOD + b"2026-01-01 00:04:59,3\n", 4, "is before the time of the row above"),
        (HEAD + b"soon,1\n" + GOOD, 2, "'soon' in 'timestamp' is no time"),
        (HEAD + b"9" * 400 + b",1\n" + GOOD, 2, "in 'timestamp' is no time"),
        (HEAD + b"2026-01-01\n" + GOOD, 2, "has 1 cells, none for 'value'"),
        (HEAD + b"2026\0-01-01,1\n" + GOOD, 2, "holds NUL bytes"),
        (HEAD + b"\xff\xfe\n" + GOOD, 2, "is not UTF-8"),
        (HEAD + b'"2026-01-01,1\n' + GOOD, 2, "a cell may not run over lines"),
        (HEAD + b"1" * 200_000 + b"\n" + GOOD, 2, "longer than 65,536 bytes"),
        (b"\xef\xbb\xbf" + HEAD + GOOD + b"\n1767225600,\n", 5, "'' in 'value' is no finite"),
    ],
)
def test_a_bad_row_is_named_and_the_others_are_scored(
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    content: bytes,
    line: int,
    reason: str,
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    assert run("score", file, "--json") == PARTLY
    out, err = capfdbinary.readouterr()
    assert f"{file} line {line}: " in err.decode()
    assert reason in err.decode()
    scored = rows(out)
    assert [r["row"] for r in scored] == [0, 1, 2]
    assert [r["score"] for r in scored] == [0.0, 0.0, 0.0]


def test_rows_that_cannot_be_read_change_no_other_score_and_have_a_line_each(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    whole = [
        f"2026-01-{1 + n // 288:02} {n // 12 % 24:02}:{n % 12 * 5:02}:00,{n % 7}"
        for n in range(900)
    ]
    broken = [row if n % 50 else row.split(",")[0] + ",NaN" for n, row in enumerate(whole)]
    without = [row for row in broken if not row.endswith("NaN")]
    found = []
    for name, lines in (("broken", broken), ("without", without)):
        (tmp_path / name).write_text("timestamp,value\n" + "\n".join(lines))
        run("score", tmp_path / name, "--json")
        found.append(rows(capfdbinary.readouterr().out))
    assert [r["row"] for r in found[0]] == list(range(900))
    assert [r["score"] for r in found[0] if int(str(r["row"])) % 50] == [
        r["score"] for r in found[1]
    ]


def test_a_file_in_no_order_says_so_and_one_wrong_time_costs_one_row(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "a.csv"
    times = ["2026-01-01 00:00:00", "2099-01-01 00:00:00", "2026-01-01 00:05:00"]
    times += ["2026-01-01 00:10:00", "2026-01-01 00:10:00"]
    file.write_text("timestamp,value\n" + "".join(f"{at},1\n" for at in times))
    assert run("score", file, "--json") == PARTLY
    said = capfdbinary.readouterr().err.decode().splitlines()
    assert [line.split(": ")[0] for line in said] == [f"{file} line 4"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; a header line with timestamp and value is needed"),
        (b"when,value\n", "no column 'timestamp'; it has 'when', 'value'; name one with --time"),
        (b"\xff\xfet\0", "this is UTF-16"),
        (bytes(range(256)), "line 1: "),
        (gzip.compress(HEAD + GOOD * 99, mtime=0)[:-9], "the gzip data are damaged or cut off"),
    ],
)
def test_a_file_that_is_no_series_is_named_and_the_next_is_scored(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], content: bytes, reason: str
) -> None:
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv.gz"
    bad.write_bytes(content)
    good.write_bytes(gzip.compress(HEAD + GOOD))
    assert run("score", bad, good, "--json") == PARTLY
    out, err = capfdbinary.readouterr()
    assert f"{bad}: " in err.decode()
    assert reason in err.decode()
    assert [r["row"] for r in rows(out) if r["file"] == str(good)] == [0, 1]


def test_two_runs_print_the_same_bytes() -> None:
    file = shared_data("nab") / "realAdExchange" / "exchange-2_cpc_results.csv.gz"
    command = [sys.executable, "-m", "deploy", "score", str(file), "--json"]
    first, second = (subprocess.run(command, check=True, capture_output=True) for _ in range(2))
    assert first.stdout.count(b"\n") == 1_624
    assert first.stdout == second.stdout


def test_columns_can_be_named_and_times_be_numbers(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b'host,n,at\n"a,b",1e300,1767225600\nc,-2,1767225600000\n')
    assert run("score", file, "--time", "at", "--value", "n", "--json") == DONE
    assert [r["time"] for r in rows(capfdbinary.readouterr().out)] == [
        "1767225600",
        "1767225600000",
    ]


def test_a_flood_of_bad_rows_is_counted_and_no_file_at_all_fails(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(HEAD + b"x\n" * 5_000)
    assert run("score", file) == PARTLY
    said = capfdbinary.readouterr().err.decode().splitlines()
    assert len(said) == score.NAMED_ROWS + 1
    assert said[-1].endswith("4,980 more rows were refused")
    assert run("score", tmp_path / "none.csv") == FAILED
    with pytest.raises(InvalidInput, match="at least one"):
        run("score")
