"""Public rules for other systems than Windows hit the log lines that they were written for."""

from functools import cache
from typing import Any

import pytest
import yaml

from detectors import sigma
from storage.schema import Context
from tests.shared import shared_data
from tests.walks.path import batches
from tests.walks.raw import EVE_DNS, ndjson

_CALL = (
    "type=SYSCALL msg=audit(1714550402.010:7): arch=c000003e syscall={number} success=yes exit=0 "
    "a0=ffffff9c a1=7ffc a2=241 a3=1b6 ppid=1 pid=9 auid=0 uid=0 euid={euid} tty=pts0 ses=1 "
    'comm="{comm}" exe="{exe}" key=(null)\n'
)


def _call(comm: str, exe: str, number: int = 59, euid: int = 0) -> bytes:
    return _CALL.format(comm=comm, exe=exe, number=number, euid=euid).encode()


def _executed(exe: str, *words: str) -> bytes:
    """Write an EXECVE record beside its SYSCALL record."""
    said = " ".join(f'a{n}="{word}"' for n, word in enumerate(words))
    record = f"type=EXECVE msg=audit(1714550402.010:7): argc={len(words)} {said}\n"
    return _call(words[0], exe) + record.encode()


def _path(name: str, nametype: str = "CREATE") -> bytes:
    record = f'type=PATH msg=audit(1714550402.010:7): item=1 name="{name}" nametype={nametype}\n'
    return _call("vi", "/usr/bin/vi", 257) + record.encode()


def _said(program: str, text: str) -> bytes:
    return f"May  1 08:00:00 web01 {program}[9]: {text}\n".encode()


def _zeek(log: str, /, **fields: object) -> bytes:
    ends = {"id.orig_h": "10.0.0.5", "id.orig_p": 5, "id.resp_h": "203.0.113.9", "id.resp_p": 80}
    return ndjson({"_path": log, "ts": 1714550400.1, "uid": "C1"} | ends | fields)


def _aws(source: str, name: str, **fields: object) -> bytes:
    record = {
        "eventVersion": "1.08",
        "eventTime": "2024-05-01T08:00:00Z",
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "userIdentity": {
            "type": "IAMUser",
            "userName": "alice",
            "arn": "arn:aws:iam::1:user/alice",
        },
    }
    return ndjson(record | fields)


def _eve(kind: str, **fields: object) -> bytes:
    return ndjson({k: v for k, v in EVE_DNS.items() if k != "dns"} | {"event_type": kind} | fields)


def _web(**fields: str) -> bytes:
    url = {"hostname": "198.51.100.7", "url": "/", "http_method": "GET", "status": 200}
    return _eve("http", http=url | fields)


LINES = {
    "lnx_auditd_data_exfil_wget": _executed("/usr/bin/wget", "wget", "--post-file=/etc/shadow"),
    "lnx_auditd_data_compressed": _executed("/usr/bin/zip", "zip", "a.zip", "/etc"),
    "lnx_auditd_find_cred_in_files": _executed("/usr/bin/grep", "grep", "password", "-r"),
    "lnx_auditd_ld_so_preload_mod": _path("/etc/ld.so.preload"),
    "lnx_auditd_systemd_service_creation": _path("/etc/systemd/system/x.service"),
    "lnx_auditd_load_module_insmod": _call("insmod", "/usr/bin/kmod", 313),
    "lnx_auditd_web_rce": _call("sh", "/bin/sh", euid=33),
    "lnx_auditd_susp_exe_folders": _call("x", "/tmp/x", 257),
    "proc_creation_lnx_base64_execution": _executed(
        "/usr/bin/bash", "bash", "-c", "echo aWQ= | base64 -d | bash"
    ),
    "file_event_lnx_persistence_sudoers_files": _path("/etc/sudoers.d/evil"),
    "file_event_lnx_susp_shell_script_under_profile_directory": _path("/etc/profile.d/x.sh"),
    "lnx_shellshock": _said("apache2", "GET / UA () { :; }; /bin/id"),
    "lnx_privileged_user_creation": _said(
        "useradd", "new user: name=evil, UID=0, GID=0, home=/root, shell=/bin/bash"
    ),
    "lnx_sshd_susp_ssh": _said("sshd", "error: unknown or unsupported key type"),
    "lnx_vsftpd_susp_error_messages": _said("vsftpd", "Bad HTTP verb."),
    "lnx_clamav_relevant_message": _said("clamd", "/tmp/x: Win.Trojan.Agent-1 FOUND"),
    "lnx_syslog_security_tools_disabling_syslog": _said("init", "stopping iptables"),
    "net_dns_susp_telegram_api": _zeek("dns", query="api.telegram.org", qtype_name="A"),
    "net_dns_susp_txt_exec_strings": _zeek(
        "dns", query="x.example", qtype_name="TXT", answers=["IEX (New-Object)"]
    ),
    "zeek_dns_mining_pools": _zeek("dns", query="a.minergate.com", answers=["198.51.100.1"]),
    "zeek_http_webdav_put_request": _zeek(
        "http", method="PUT", user_agent="Microsoft-WebDAV-MiniRedir/10", uri="/x"
    ),
    "zeek_default_cobalt_strike_certificate": _zeek("x509", **{"certificate.serial": "8BB00EE"}),
    "zeek_dce_rpc_mitre_bzar_execution": _zeek(
        "dce_rpc", endpoint="ITaskSchedulerService", operation="SchRpcEnableTask"
    ),
    "zeek_smb_converted_win_susp_psexec": _zeek("smb_files", path="\\\\ws1\\IPC$", name="x-stdin"),
    "aws_cloudtrail_disable_logging": _aws("cloudtrail", "StopLogging"),
    "aws_ec2_startup_script_change": _aws(
        "ec2", "ModifyInstanceAttribute", requestParameters={"attribute": "userData"}
    ),
    "aws_rds_public_db_restore": _aws(
        "rds", "RestoreDBInstanceFromDBSnapshot", responseElements={"publiclyAccessible": True}
    ),
    "proxy_ua_cryptominer": _web(http_user_agent="XMRig 6.0"),
    "proxy_telegram_api": _web(hostname="api.telegram.org", http_user_agent="curl/8"),
    "proxy_pwndrop": _web(url="/pwndrop/x"),
    "proxy_download_susp_dyndns": _web(hostname="a.hopto.org", url="/x.exe"),
    "web_sql_injection_in_access_logs": _web(url="/?id=1'%20UNION%20SELECT%201,2--"),
    "net_firewall_cleartext_protocols": (
        b"CEF:0|Acme|Firewall|1|allow|Connection|2|src=10.0.0.1 dst=10.0.0.2 dpt=23 proto=TCP "
        b"action=accept\n"
    ),
    "av_ransomware": ndjson(
        {
            "class_uid": 2004,
            "time": 1714550400000,
            "finding_info": {"title": "Ransom:Win32/Filecoder.A", "uid": "1"},
        }
    ),
}


@cache
def _public() -> tuple[sigma.RuleSet, dict[str, str]]:
    folder = shared_data("sigma") / "rules"
    files = [f for stem in LINES for f in folder.rglob(f"{stem}.yml")]
    rules: list[dict[str, Any]] = [next(yaml.safe_load_all(f.read_text())) for f in files]
    names = {f.stem: str(rule["id"]) for f, rule in zip(files, rules, strict=True)}
    return sigma.compile_rules(files), names


@pytest.mark.parametrize("stem", LINES)
def test_a_public_rule_hits_the_line_it_is_for(stem: str) -> None:
    rules, names = _public()
    context = Context(watermark_us=0, rules={"": rules})
    found = [f for b in batches(LINES[stem]) for f in sigma.detect({}, b, context)[1]]
    assert names[stem] in {f.rule_id for f in found}
