import gzip
import os
import struct
import threading
from pathlib import Path

import cyclopts
import orjson
import pytest
from scapy.layers.inet import TCP
from scapy.packet import Raw

from deploy.cli import flows
from deploy.cli import run as run_words
from deploy.output import DONE, FAILED, PARTLY, WRONG_USE
from pipelines.network import flow_table
from tests.pipelines.test_parser_pcap import CAPTURE, ENDS, ETHER, capture


def run(*words: str | Path) -> int:
    app = cyclopts.App(result_action="return_value")
    flows.register(app)
    code = app([str(word) for word in words])
    assert isinstance(code, int)
    return code


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "a.pcap"
    place.write_bytes(CAPTURE)
    return place


def rows(text: str) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in text.splitlines()]


def test_flows_are_json_lines_with_the_agreed_fields(
    file: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run("flows", file, "--json") == DONE
    first, second = rows(capfdbinary.readouterr().out.decode())
    assert first == {
        "file": str(file), "src_ip": "192.0.2.1", "src_port": 5, "dst_ip": "192.0.2.2",
        "dst_port": 6, "proto": "tcp", "packets_out": 1, "packets_in": 1, "bytes_out": 54,
        "bytes_in": 54, "start": 0.0, "end": 1.0, "state": "refused",
        "community_id": first["community_id"],
    }  # fmt: skip
    assert second["proto"] == "udp"


def test_dns_is_one_row_a_message(file: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run("flows", file, "--kind", "dns", "--json") == DONE
    (row,) = rows(capfdbinary.readouterr().out.decode())
    wanted = {"time": 2.0, "query": "a.de", "qtype": "A", "answers": [], "rcode": None}
    assert row.items() >= wanted.items()


def test_a_protocols_kind_gives_its_rows_with_the_agreed_fields(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    place = tmp_path / "h.pcap"
    asked = b"GET /x HTTP/1.1\r\nHost: a.example\r\nUser-Agent: test\r\n\r\n"
    tcp = TCP(sport=5, dport=80, seq=1, flags="PA")
    place.write_bytes(capture(bytes(ETHER / ENDS / tcp / Raw(asked))))
    assert run("flows", place, "--kind", "http", "--json") == DONE
    (row,) = rows(capfdbinary.readouterr().out.decode())
    wanted = {"method": "GET", "host": "a.example", "uri": "/x", "user_agent": "test"}
    assert row.items() >= {"file": str(place), "status": None, **wanted}.items()


def test_damaged_capture_is_shown_as_far_as_it_goes_and_named(
    file: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    broken = file.with_name("b.pcap")
    broken.write_bytes(CAPTURE[:-3])
    assert run("flows", file.parent, "--json") == PARTLY
    out, err = capfdbinary.readouterr()
    assert [r["file"] for r in rows(out.decode())] == [str(file)] * 2 + [str(broken)]
    assert f"{broken}: the capture ends inside packet 2" in err.decode()


def test_a_file_is_named_as_given_and_its_times_are_the_captures(
    file: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    strange = os.fsdecode(b"bad\xff\n.pcap")
    octets = bytearray(CAPTURE)
    struct.pack_into("<II", octets, 24, 1_464_132_421, 960_780)
    Path(strange).write_bytes(octets)
    assert run("flows", ".//a.pcap", f"./{strange}", "--json") == DONE
    out = capfdbinary.readouterr().out.decode()
    assert {row["file"] for row in rows(out)} == {".//a.pcap", "./bad\\xff\n.pcap"}
    assert '"end":1464132421.96078,' in out


def test_a_pipe_is_read_and_a_packed_capture_or_an_empty_folder_named(
    file: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    pipe, packed, empty = (file.with_name(name) for name in ("pipe", "c.pcap.gz", "empty"))
    os.mkfifo(pipe)
    packed.write_bytes(gzip.compress(CAPTURE))
    empty.mkdir()
    writer = threading.Thread(target=lambda: pipe.write_bytes(CAPTURE))
    writer.start()
    assert run("flows", pipe, packed, empty, "--kind", "dns,all", "--json") == PARTLY
    writer.join()
    out, err = capfdbinary.readouterr()
    assert {row["file"] for row in rows(out.decode())} == {str(pipe)}
    assert f"{packed}: not a capture file" in err.decode()
    assert "unpack it first" in err.decode()
    assert f"{empty}: no captures in it" in err.decode()


def test_flows_that_are_ended_early_are_told(
    file: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_table, "MAX_OPEN", 1)
    monkeypatch.setattr(flow_table, "_TIDY_AT", 0)
    assert run("flows", file, "--json") == DONE
    assert "flows at once: 1 of them were ended early" in capfdbinary.readouterr().err.decode()


def test_without_json_it_is_a_table(file: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run("flows", file) == DONE
    assert capfdbinary.readouterr().out.decode().splitlines()[0].split()[:2] == [
        "src_ip",
        "src_port",
    ]


def test_a_kind_that_is_not_there_is_wrong_use_and_says_which_are(
    file: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run("flows", file, "--kind", "flows,smells", "--json") == WRONG_USE
    assert "the kinds now are flows, dns, tls, http" in capfdbinary.readouterr().err.decode()


def test_several_kinds_come_in_one_pass_each_row_with_its_own(
    file: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run("flows", file, "--kind", "dns,flows", "--json") == DONE
    told = rows(capfdbinary.readouterr().out.decode())
    assert sorted(str(row["kind"]) for row in told) == ["dns", "flows", "flows"]
    assert run("flows", file, "--kind", "all") == DONE
    assert "1 DNS messages" in capfdbinary.readouterr().err.decode()


def test_a_flow_is_explained_packet_by_packet(
    file: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run("flows", file, "--json") == DONE
    one, other = rows(capfdbinary.readouterr().out.decode())
    assert run("flows", file, "--flow", str(one["community_id"]), "--explain") == DONE
    text = capfdbinary.readouterr().out.decode()
    assert text.count("###[ TCP ]###") == 2
    assert "###[ DNS ]###" not in text
    assert run("flows", file, "--flow", str(other["community_id"]), "--kind", "all", "--json") == 0
    assert {r["kind"] for r in rows(capfdbinary.readouterr().out.decode())} == {"flows", "dns"}
    assert run("flows", file, "--explain") == WRONG_USE


def test_a_missing_file_fails(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run("flows", tmp_path / "no.pcap", "--json") == FAILED
    assert "no.pcap" in capfdbinary.readouterr().err.decode()


def test_an_empty_word_is_not_the_current_folder(
    file: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert run_words(["flows", "", "--json"]) == WRONG_USE
    out, err = capfdbinary.readouterr()
    assert out == b""
    assert b"is a variable not set?" in err
    assert run_words(["flows", str(file), "--flow", ""]) == DONE


def test_listening_where_nothing_is_fails_and_names_it(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    assert run("flows", "--live", "nowhere0", "--json") == FAILED
    assert "nowhere0" in capfdbinary.readouterr().err.decode()
