"""Say which events a rule's log source means: conditions over what every parser fills in.

The Windows table says what pySigma's sysmon, windows-logsources and windows-audit pipelines say
(a test compares them); the generic one goes by OCSF class and by the parser's own log names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from storage.schema import CLASSES

Clause = tuple[tuple[str, frozenset[str]], ...]
"""All of: dimension (product, system, format, native, log, provider, code, class, activity) is
one of the lower-case values."""

NATIVE_FORMATS: Final = ("evtx", "windows_json")
"""Parsers that keep Windows' own field names; the OCSF map would only blur them."""

SYSMON_CHANNEL: Final = "Microsoft-Windows-Sysmon/Operational"

SYSMON: Final[Mapping[str, tuple[int, ...]]] = {
    "process_creation": (1,),
    "file_change": (2,),
    "network_connection": (3,),
    "sysmon_status": (4, 16),
    "process_termination": (5,),
    "driver_load": (6,),
    "image_load": (7,),
    "create_remote_thread": (8,),
    "raw_access_thread": (9,),
    "process_access": (10,),
    "file_event": (11,),
    "registry_add": (12,),
    "registry_delete": (12,),
    "registry_set": (13,),
    "registry_rename": (14,),
    "registry_event": (12, 13, 14),
    "create_stream_hash": (15,),
    "pipe_created": (17, 18),
    "wmi_event": (19, 20, 21),
    "dns_query": (22,),
    "file_delete": (23,),
    "clipboard_capture": (24,),
    "process_tampering": (25,),
    "file_delete_detected": (26,),
    "file_block_executable": (27,),
    "file_block_shredding": (28,),
    "file_executable_detected": (29,),
    "sysmon_error": (255,),
}

POWERSHELL: Final[Mapping[str, tuple[str, int]]] = {
    "ps_module": ("powershell", 4103),
    "ps_script": ("powershell", 4104),
    "ps_classic_start": ("powershell-classic", 400),
    "ps_classic_provider_start": ("powershell-classic", 600),
    "ps_classic_script": ("powershell-classic", 800),
}

_M: Final = "Microsoft-Windows-"
CHANNELS: Final[Mapping[str, tuple[str, ...]]] = {
    "security": ("Security",),
    "application": ("Application",),
    "system": ("System",),
    "sysmon": (SYSMON_CHANNEL,),
    "powershell": (f"{_M}PowerShell/Operational", "PowerShellCore/Operational"),
    "powershell-classic": ("Windows PowerShell",),
    "taskscheduler": (f"{_M}TaskScheduler/Operational",),
    "wmi": (f"{_M}WMI-Activity/Operational",),
    "dns-server": ("DNS Server",),
    "dns-server-audit": (f"{_M}DNS-Server/Audit",),
    "dns-server-analytic": (f"{_M}DNS-Server/Analytical",),
    "driver-framework": (f"{_M}DriverFrameworks-UserMode/Operational",),
    "ntlm": (f"{_M}NTLM/Operational",),
    "dhcp": (f"{_M}DHCP-Server/Operational",),
    "msexchange-management": ("MSExchange Management",),
    "applocker": (
        f"{_M}AppLocker/MSI and Script",
        f"{_M}AppLocker/EXE and DLL",
        f"{_M}AppLocker/Packaged app-Deployment",
        f"{_M}AppLocker/Packaged app-Execution",
    ),
    "printservice-admin": (f"{_M}PrintService/Admin",),
    "printservice-operational": (f"{_M}PrintService/Operational",),
    "codeintegrity-operational": (f"{_M}CodeIntegrity/Operational",),
    "smbclient-security": (f"{_M}SmbClient/Security",),
    "firewall-as": (f"{_M}Windows Firewall With Advanced Security/Firewall",),
    "bits-client": (f"{_M}Bits-Client/Operational",),
    "windefend": (f"{_M}Windows Defender/Operational",),
    "terminalservices-localsessionmanager": (
        f"{_M}TerminalServices-LocalSessionManager/Operational",
    ),
    "microsoft-servicebus-client": ("Microsoft-ServiceBus-Client",),
    "ldap_debug": (f"{_M}LDAP-Client/Debug",),
    "security-mitigations": (
        f"{_M}Security-Mitigations/Kernel Mode",
        f"{_M}Security-Mitigations/User Mode",
    ),
    "diagnosis-scripted": (f"{_M}Diagnosis-Scripted/Operational",),
    "shell-core": (f"{_M}Shell-Core/Operational",),
    "openssh": ("OpenSSH/Operational",),
    "bitlocker": (f"{_M}BitLocker/BitLocker Management",),
    "vhdmp": (f"{_M}VHDMP/Operational",),
    "appxdeployment-server": (f"{_M}AppXDeploymentServer/Operational",),
    "lsa-server": (f"{_M}LSA/Operational",),
    "appxpackaging-om": (f"{_M}AppxPackaging/Operational",),
    "dns-client": (f"{_M}DNS Client Events/Operational",),
    "appmodel-runtime": (f"{_M}AppModel-Runtime/Admin",),
    "capi2": (f"{_M}CAPI2/Operational",),
    "certificateservicesclient-lifecycle-system": (
        f"{_M}CertificateServicesClient-Lifecycle-System/Operational",
    ),
}

_AUDIT_FIELDS: Final = {
    "Image": "NewProcessName",
    "ParentImage": "ParentProcessName",
    "Details": "NewValue",
    "LogonId": "SubjectLogonId",
}
_REGISTRY_FIELDS: Final = _AUDIT_FIELDS | {"Image": "ProcessName", "TargetObject": "ObjectName"}
_REGISTRY_UNKNOWN: Final = frozenset({"EventType", "NewName", "User"})
_NEW_VALUE: Final = "New registry value created"
_CHANGED_VALUE: Final = "Existing registry value modified"

AUDIT: Final[Mapping[str, tuple[int, tuple[str, ...]]]] = {
    "process_creation": (4688, ()),
    "registry_event": (4657, (_NEW_VALUE, _CHANGED_VALUE)),
    "registry_set": (4657, (_CHANGED_VALUE,)),
    "registry_add": (4657, (_NEW_VALUE,)),
}
"""Category -> Security event and the operation types (none = any)."""

CATEGORIES: Final[Mapping[str, tuple[tuple[int, tuple[int, ...]], ...]]] = {
    "process_creation": ((1007, (1,)),),
    "process_termination": ((1007, (2,)),),
    "process_access": ((1007, (3,)),),
    "create_remote_thread": ((1007, (4,)),),
    "image_load": ((1005, ()),),
    "driver_load": ((1002, ()),),
    "file_event": ((1001, (1, 3)),),
    "file_change": ((1001, (3, 6)),),
    "file_delete": ((1001, (4,)),),
    "file_rename": ((1001, (5,)),),
    "file_access": ((1001, (2, 14)),),
    "network_connection": ((4001, ()),),
    "firewall": ((4001, ()),),
    "dns": ((4003, ()),),
    "dns_query": ((4003, ()),),
    "webserver": ((4002, ()),),
    "proxy": ((4002, ()),),
    "antivirus": ((2004, ()),),
    "registry_event": ((201001, ()), (201002, ())),
    "registry_add": ((201001, (1,)),),
    "registry_set": ((201002, (2,)),),
    "registry_delete": ((201001, (4,)), (201002, (4,))),
    "registry_rename": ((201001, (5,)),),
} | {c.name: ((c.class_uid, ()),) for c in CLASSES if c.class_uid}

_PROGRAMS: Final[Mapping[str, tuple[str, ...]]] = {
    "clamav": ("clamav", "clamd", "clamscan", "freshclam", "clamonacc"),
    "cron": ("cron", "crond"),
    "sshd": ("sshd", "sshd-session", "sshd-auth"),
}
"""Service -> names under which its programs log."""


@dataclass(frozen=True, slots=True)
class Route:
    """Say which events (`clauses`: any of them) and how the rule's fields are called there.

    `native`: where Windows' own names are kept, only those count, not the OCSF map.
    `renames`: rule's field -> field there.
    `unknown`: fields that cannot be told there: a rule naming one does not run on this route.
    `also`: (field, values): one more condition of the log source itself.
    `stands_in`: another log tells the same where it is kept (Security's audit for Sysmon).
    """

    clauses: tuple[Clause, ...]
    native: bool = False
    renames: tuple[tuple[str, str], ...] = ()
    unknown: frozenset[str] = frozenset()
    also: tuple[tuple[str, tuple[str, ...]], ...] = ()
    stands_in: bool = False


def _clause(**dimensions: object) -> Clause:
    return tuple(
        (
            name,
            frozenset(str(v).lower() for v in (values if isinstance(values, tuple) else (values,))),
        )
        for name, values in sorted(dimensions.items())
    )


def routes(product: str, category: str, service: str) -> tuple[Route, ...]:
    """Give the ways by which events reach a rule of this log source ('' = not said)."""
    product, category, service = product.lower(), category.lower(), service.lower()
    if product == "windows":
        return (*_windows(category, service), *_generic(product, category, service))
    return _generic(product, category, service)


def _windows(category: str, service: str) -> tuple[Route, ...]:
    if category in POWERSHELL:
        log, code = POWERSHELL[category]
        return (Route((_clause(product="windows", log=CHANNELS[log], code=code),), native=True),)
    if category not in SYSMON:
        where = {"log": CHANNELS[service]} if service in CHANNELS else {}
        return (Route((_clause(product="windows", **where),), native=True),)
    found = [
        Route((_clause(product="windows", log=SYSMON_CHANNEL, code=SYSMON[category]),), native=True)
    ]
    if category in AUDIT:
        code, operations = AUDIT[category]
        registry = category != "process_creation"
        found.append(
            Route(
                (_clause(product="windows", log="security", code=code),),
                native=True,
                renames=tuple((_REGISTRY_FIELDS if registry else _AUDIT_FIELDS).items()),
                unknown=_REGISTRY_UNKNOWN if registry else frozenset(),
                also=(("OperationType", operations),) if operations else (),
                stands_in=True,
            )
        )
    return tuple(found)


def _generic(product: str, category: str, service: str) -> tuple[Route, ...]:
    """Route by OCSF class, product and log name; Windows only where its own names are not kept."""
    clauses: list[Clause] = [()]
    if product == "windows":
        if category not in CATEGORIES:
            return ()
        clauses = [_clause(product="windows", native="no"), _clause(system="windows", native="no")]
    elif product and product != "inopsio":
        clauses = [_clause(product=product), _clause(system=product)]
    if category in CATEGORIES:
        clauses = [c + extra for c in clauses for extra in _classes(category)]
    elif category:
        clauses = [
            c + _clause(**{d: category}) for c in clauses for d in ("format", "log", "provider")
        ]
    if service and product != "windows":
        clauses = [
            c + _clause(**{d: _PROGRAMS.get(service, service)})
            for c in clauses
            for d in ("format", "log", "provider")
        ]
    return (Route(tuple(clauses)),)


def _classes(category: str) -> list[Clause]:
    return [
        _clause(**({"class": uid} | ({"activity": activities} if activities else {})))
        for uid, activities in CATEGORIES[category]
    ]
