"""Write what a Windows event collector forwards (NXLog's JSON of Sysmon, Security and System)."""

import hashlib
import random
from datetime import UTC, datetime
from typing import Any, Final

from deploy.demo.company import DOMAIN, WINDOWS_DOMAIN
from deploy.demo.rows import Mark, Row, line

SYSMON: Final = "Microsoft-Windows-Sysmon/Operational"
_SYSMON_ID: Final = "{5770385F-C22A-43E0-BF4C-06F5698FFBD9}"
_SECURITY_ID: Final = "{54849625-5478-4994-A5BA-3E3B0328C30D}"
_AUDIT_OK: Final = -9214364837600034816
_AUDIT_BAD: Final = -9218868437227405312
EXPLORER: Final = r"C:\Windows\explorer.exe"
OFFICE: Final = "C:\\Program Files\\Microsoft Office\\root\\Office16\\"


def iso(time_us: int) -> str:
    """Write a time as most programs do: 2026-06-01T08:00:00.123456Z."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _sysmon_time(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def guid(dice: random.Random) -> str:
    """Draw a process GUID."""
    h = f"{dice.getrandbits(128):032X}"
    return f"{{{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}}}"


def hashes(image: str) -> str:
    """Give the hashes of a program: the same program has the same."""
    sha = hashlib.sha256(image.lower().encode()).hexdigest().upper()
    return f"SHA256={sha},IMPHASH={sha[:32]}"


def windows_user(account: str) -> str:
    r"""Give an account as Windows writes it, MERIDIAN\\first.last."""
    if account.lower() in ("system", "local service", "network service"):
        return f"NT AUTHORITY\\{account.upper()}"
    return f"{WINDOWS_DOMAIN}\\{account}"


def _head(
    time_us: int, host: str, ip: str, channel: str, event: int, provider: str
) -> dict[str, Any]:
    return {
        "EventTime": iso(time_us),
        "Hostname": f"{host}.{DOMAIN}",
        "EventID": event,
        "Channel": channel,
        "SourceName": provider,
        "MessageSourceAddress": ip,
        "SeverityValue": 2,
        "Severity": "INFO",
    }


def _sysmon(time_us: int, host: str, ip: str, event: int) -> dict[str, Any]:
    return _head(time_us, host, ip, SYSMON, event, "Microsoft-Windows-Sysmon") | {
        "ProviderGuid": _SYSMON_ID,
        "UtcTime": _sysmon_time(time_us),
    }


class Process:
    """One process of a host, so that its children and files can name it."""

    __slots__ = ("command", "guid", "host", "image", "ip", "pid", "user")

    def __init__(
        self, dice: random.Random, place: tuple[str, str], user: str, image: str, command: str
    ) -> None:
        """Draw the ids of a process on host and address `place`."""
        self.host, self.ip = place
        self.user, self.image, self.command = windows_user(user), image, command
        self.guid, self.pid = guid(dice), dice.randrange(1200, 24000, 4)

    def started(self, time_us: int, parent: "Process", mark: Mark | None = None) -> Row:
        """Say that it was started (Sysmon 1)."""
        folder, _, name = self.image.rpartition("\\")
        level = "System" if "AUTHORITY" in self.user else "Medium"
        return line(
            time_us,
            "wec",
            _sysmon(time_us, self.host, self.ip, 1)
            | {
                "ProcessGuid": self.guid,
                "ProcessId": self.pid,
                "Image": self.image,
                "OriginalFileName": name,
                "CommandLine": self.command,
                "CurrentDirectory": folder + "\\",
                "User": self.user,
                "IntegrityLevel": level,
                "Hashes": hashes(self.image),
                "ParentProcessGuid": parent.guid,
                "ParentProcessId": parent.pid,
                "ParentImage": parent.image,
                "ParentCommandLine": parent.command,
                "ParentUser": parent.user,
            },
            mark,
        )

    def connected(
        self, time_us: int, target: tuple[str, int], name: str, port: int, mark: Mark | None = None
    ) -> Row:
        """Say that it opened a connection (Sysmon 3) to (address, port) from its own `port`."""
        return line(
            time_us,
            "wec",
            _sysmon(time_us, self.host, self.ip, 3)
            | {
                "ProcessGuid": self.guid,
                "ProcessId": self.pid,
                "Image": self.image,
                "User": self.user,
                "Protocol": "tcp",
                "Initiated": "true",
                "SourceIp": self.ip,
                "SourceHostname": f"{self.host}.{DOMAIN}",
                "SourcePort": port,
                "DestinationIp": target[0],
                "DestinationHostname": name or "-",
                "DestinationPort": target[1],
            },
            mark,
        )

    def wrote(self, time_us: int, path: str, mark: Mark | None = None) -> Row:
        """Say that it made a file (Sysmon 11)."""
        return line(
            time_us,
            "wec",
            _sysmon(time_us, self.host, self.ip, 11)
            | {
                "ProcessGuid": self.guid,
                "ProcessId": self.pid,
                "Image": self.image,
                "TargetFilename": path,
                "CreationUtcTime": _sysmon_time(time_us),
                "User": self.user,
            },
            mark,
        )


def logon(
    time_us: int,
    place: tuple[str, str],
    account: str,
    kind: int,
    origin: tuple[str, str],
    *,
    good: bool = True,
    port: int = 0,
    mark: Mark | None = None,
) -> Row:
    """Say that an account signed in to host `place` from `origin` (4624, or 4625 if not good)."""
    record = _head(
        time_us, *place, "Security", 4624 if good else 4625, "Microsoft-Windows-Security-Auditing"
    )
    record |= {
        "ProviderGuid": _SECURITY_ID,
        "Keywords": _AUDIT_OK if good else _AUDIT_BAD,
        "SubjectUserName": "-" if kind == 3 else f"{place[0]}$",
        "SubjectDomainName": "-" if kind == 3 else WINDOWS_DOMAIN,
        "TargetUserName": account,
        "TargetDomainName": WINDOWS_DOMAIN,
        "LogonType": kind,
        "LogonProcessName": "Kerberos" if kind == 3 else "User32",
        "AuthenticationPackageName": "Kerberos" if kind == 3 else "Negotiate",
        "WorkstationName": origin[0],
        "IpAddress": origin[1],
        "IpPort": port,
        "ProcessName": "-",
    }
    if not good:
        record |= {"Status": "0xc000006d", "SubStatus": "0xc000006a", "FailureReason": "%%2313"}
    return line(time_us, "wec", record, mark)


def privileges(time_us: int, place: tuple[str, str], account: str) -> Row:
    """Say that a sign-in got an administrator's privileges (4672)."""
    record = _head(time_us, *place, "Security", 4672, "Microsoft-Windows-Security-Auditing")
    return line(
        time_us,
        "wec",
        record
        | {
            "ProviderGuid": _SECURITY_ID,
            "Keywords": _AUDIT_OK,
            "SubjectUserName": account,
            "SubjectDomainName": WINDOWS_DOMAIN,
            "PrivilegeList": "SeSecurityPrivilege\n\t\t\tSeBackupPrivilege\n\t\t\tSeDebugPrivilege",
        },
    )


def account_made(time_us: int, place: tuple[str, str], admin: str, account: str) -> Row:
    """Say that an administrator made an account (4720)."""
    record = _head(time_us, *place, "Security", 4720, "Microsoft-Windows-Security-Auditing")
    return line(
        time_us,
        "wec",
        record
        | {
            "ProviderGuid": _SECURITY_ID,
            "Keywords": _AUDIT_OK,
            "TargetUserName": account,
            "TargetDomainName": WINDOWS_DOMAIN,
            "SubjectUserName": admin,
            "SubjectDomainName": WINDOWS_DOMAIN,
            "SamAccountName": account,
        },
    )


def service_made(
    time_us: int,
    place: tuple[str, str],
    name: str,
    command: str,
    *,
    mark: Mark | None = None,
) -> Row:
    """Say that a service was installed (System 7045)."""
    record = _head(time_us, *place, "System", 7045, "Service Control Manager")
    return line(
        time_us,
        "wec",
        record
        | {
            "ProviderGuid": "{555908D1-A6D7-4695-8E1E-26931D2012F4}",
            "ServiceName": name,
            "ImagePath": command,
            "ServiceType": "user mode service",
            "StartType": "demand start",
            "AccountName": "LocalSystem",
        },
        mark,
    )
