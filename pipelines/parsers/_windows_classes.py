"""Say which OCSF class, activity and title each Windows event number has."""

from typing import Final, NamedTuple

from storage.schema import class_named


class Meaning(NamedTuple):
    """Give what an event number means: severity and status are OCSF ids, 0 = not said."""

    class_uid: int
    activity_id: int
    title: str
    severity_id: int = 1
    status_id: int = 0


_PROCESS, _FILE, _NET = "process_activity", "file_activity", "network_activity"
_ACCOUNT, _GROUP, _AUTH = "account_change", "group_management", "authentication"
_KEY, _VALUE, _TASK = "registry_key_activity", "registry_value_activity", "scheduled_job_activity"
_SERVICE, _LOG, _MODULE = "windows_service_activity", "event_log_activity", "module_activity"
_ACCESS = "user_access"

# channel family -> event numbers -> (class, activity, title[, severity[, status]])
_TABLE: Final[dict[str, dict[int, tuple[str, int, str] | tuple[str, int, str, int, int]]]] = {
    "sysmon": {
        1: (_PROCESS, 1, "Process created"),
        2: (_FILE, 6, "File creation time changed"),
        3: (_NET, 1, "Network connection"),
        4: ("application_lifecycle", 3, "Sysmon service state changed"),
        5: (_PROCESS, 2, "Process ended"),
        6: ("kernel_extension_activity", 1, "Driver loaded"),
        7: (_MODULE, 1, "Image loaded"),
        8: (_PROCESS, 4, "Remote thread created"),
        9: (_FILE, 2, "Raw disk read"),
        10: (_PROCESS, 3, "Process accessed"),
        11: (_FILE, 1, "File created"),
        12: (_KEY, 1, "Registry key created or deleted"),
        13: (_VALUE, 2, "Registry value set"),
        14: (_KEY, 5, "Registry key renamed"),
        15: (_FILE, 1, "File stream created"),
        16: ("device_config_state", 1, "Sysmon configuration changed"),
        17: (_FILE, 1, "Pipe created"),
        18: (_FILE, 14, "Pipe connected"),
        19: ("base_event", 0, "WMI event filter"),
        20: ("base_event", 0, "WMI event consumer"),
        21: ("base_event", 0, "WMI consumer bound to filter"),
        22: ("dns_activity", 6, "DNS query"),
        23: (_FILE, 4, "File deleted, kept"),
        24: ("base_event", 0, "Clipboard changed"),
        25: (_PROCESS, 4, "Process image changed"),
        26: (_FILE, 4, "File deleted"),
        27: (_FILE, 1, "Executable file blocked", 2, 2),
        28: (_FILE, 4, "File shredding blocked", 2, 2),
        29: (_FILE, 1, "Executable file created"),
    },
    "security": {
        1100: (_LOG, 7, "Event logging stopped", 2, 0),
        1102: (_LOG, 1, "Audit log cleared", 3, 1),
        4624: (_AUTH, 1, "Logon", 1, 1),
        4625: (_AUTH, 1, "Logon failed", 2, 2),
        4634: (_AUTH, 2, "Logoff", 1, 1),
        4647: (_AUTH, 2, "Logoff by the user", 1, 1),
        4648: (_AUTH, 1, "Logon with explicit credentials", 1, 0),
        4656: (_FILE, 14, "Handle to an object requested"),
        4657: (_VALUE, 2, "Registry value modified", 1, 1),
        4658: (_FILE, 0, "Handle to an object closed"),
        4660: (_FILE, 4, "Object deleted", 1, 1),
        4661: (_ACCESS, 0, "Handle to a directory object requested"),
        4662: (_ACCESS, 0, "Directory object operated on"),
        4663: (_FILE, 2, "Object accessed", 1, 1),
        4670: (_FILE, 7, "Permissions of an object changed"),
        4672: ("authorize_session", 1, "Special privileges assigned to logon", 1, 1),
        4673: ("authorize_session", 1, "Privileged service called"),
        4674: ("authorize_session", 1, "Privileged object operated on"),
        4688: (_PROCESS, 1, "Process created", 1, 1),
        4689: (_PROCESS, 2, "Process ended", 1, 1),
        4697: (_SERVICE, 1, "Service installed", 2, 1),
        4698: (_TASK, 1, "Scheduled task created", 1, 1),
        4699: (_TASK, 4, "Scheduled task deleted", 1, 1),
        4700: (_TASK, 5, "Scheduled task enabled", 1, 1),
        4701: (_TASK, 6, "Scheduled task disabled", 1, 1),
        4702: (_TASK, 3, "Scheduled task updated", 1, 1),
        4703: ("authorize_session", 1, "Token privileges adjusted", 1, 1),
        4719: ("device_config_state", 1, "Audit policy changed", 3, 1),
        4720: (_ACCOUNT, 1, "Account created", 1, 1),
        4722: (_ACCOUNT, 2, "Account enabled", 1, 1),
        4723: (_ACCOUNT, 3, "Password change tried"),
        4724: (_ACCOUNT, 4, "Password reset tried"),
        4725: (_ACCOUNT, 5, "Account disabled", 1, 1),
        4726: (_ACCOUNT, 6, "Account deleted", 1, 1),
        4727: (_GROUP, 6, "Global group created", 1, 1),
        4728: (_GROUP, 3, "Member added to global group", 1, 1),
        4729: (_GROUP, 4, "Member removed from global group", 1, 1),
        4730: (_GROUP, 5, "Global group deleted", 1, 1),
        4731: (_GROUP, 6, "Local group created", 1, 1),
        4732: (_GROUP, 3, "Member added to local group", 1, 1),
        4733: (_GROUP, 4, "Member removed from local group", 1, 1),
        4734: (_GROUP, 5, "Local group deleted", 1, 1),
        4735: (_GROUP, 0, "Local group changed", 1, 1),
        4737: (_GROUP, 0, "Global group changed", 1, 1),
        4738: (_ACCOUNT, 0, "Account changed", 1, 1),
        4740: (_ACCOUNT, 9, "Account locked out", 2, 1),
        4741: (_ACCOUNT, 1, "Computer account created", 1, 1),
        4742: (_ACCOUNT, 0, "Computer account changed", 1, 1),
        4743: (_ACCOUNT, 6, "Computer account deleted", 1, 1),
        4754: (_GROUP, 6, "Universal group created", 1, 1),
        4755: (_GROUP, 0, "Universal group changed", 1, 1),
        4756: (_GROUP, 3, "Member added to universal group", 1, 1),
        4757: (_GROUP, 4, "Member removed from universal group", 1, 1),
        4758: (_GROUP, 5, "Universal group deleted", 1, 1),
        4765: (_ACCOUNT, 0, "SID history added", 3, 1),
        4766: (_ACCOUNT, 0, "Adding SID history failed", 3, 2),
        4767: (_ACCOUNT, 12, "Account unlocked", 1, 1),
        4768: (_AUTH, 3, "Kerberos ticket-granting ticket requested"),
        4769: (_AUTH, 4, "Kerberos service ticket requested"),
        4770: (_AUTH, 4, "Kerberos service ticket renewed", 1, 1),
        4771: (_AUTH, 3, "Kerberos pre-authentication failed", 2, 2),
        4772: (_AUTH, 3, "Kerberos ticket request failed", 2, 2),
        4773: (_AUTH, 4, "Kerberos service ticket request failed", 2, 2),
        4774: (_AUTH, 1, "Account mapped for logon"),
        4775: (_AUTH, 1, "Account could not be mapped for logon", 2, 2),
        4776: (_AUTH, 1, "Credentials validated"),
        4778: (_AUTH, 1, "Session reconnected", 1, 1),
        4779: (_AUTH, 2, "Session disconnected", 1, 1),
        4781: (_ACCOUNT, 0, "Account name changed", 1, 1),
        4798: (_ACCESS, 0, "Group membership of a user listed"),
        4799: (_ACCESS, 0, "Members of a local group listed"),
        5136: (_ACCESS, 0, "Directory object modified"),
        5140: ("network_file_activity", 0, "Network share accessed", 1, 1),
        5142: ("network_file_activity", 0, "Network share added", 1, 1),
        5145: ("network_file_activity", 0, "Network share object checked"),
        5152: (_NET, 5, "Packet blocked", 1, 2),
        5154: (_NET, 7, "Listening on a port permitted", 1, 1),
        5156: (_NET, 1, "Connection permitted", 1, 1),
        5157: (_NET, 5, "Connection blocked", 1, 2),
        5158: (_NET, 7, "Bind to a port permitted", 1, 1),
    },
    "system": {
        104: (_LOG, 1, "Event log cleared", 3, 1),
        7034: (_SERVICE, 6, "Service ended unexpectedly", 2, 2),
        7036: (_SERVICE, 0, "Service changed state"),
        7040: (_SERVICE, 3, "Start type of a service changed"),
        7045: (_SERVICE, 1, "Service installed", 2, 1),
    },
    "powershell": {
        400: ("application_lifecycle", 3, "PowerShell engine started"),
        403: ("application_lifecycle", 4, "PowerShell engine stopped"),
        600: ("application_lifecycle", 3, "PowerShell provider started"),
        800: (_PROCESS, 0, "PowerShell pipeline executed"),
        4103: (_PROCESS, 0, "PowerShell command invoked"),
        4104: (_PROCESS, 0, "PowerShell script block"),
    },
    "task": {
        106: (_TASK, 1, "Scheduled task registered"),
        129: (_TASK, 7, "Scheduled task process created"),
        140: (_TASK, 3, "Scheduled task updated"),
        141: (_TASK, 4, "Scheduled task deleted"),
        200: (_TASK, 7, "Scheduled task action started"),
        201: (_TASK, 0, "Scheduled task action completed"),
    },
    "defender": {
        1116: ("detection_finding", 1, "Malware detected", 4, 0),
        1117: ("detection_finding", 2, "Action taken on malware", 4, 0),
        5001: ("device_config_state", 1, "Real-time protection disabled", 4, 0),
    },
    "wmi": {
        5857: (_MODULE, 1, "WMI provider loaded"),
        5858: ("base_event", 0, "WMI query failed", 1, 2),
        5859: ("base_event", 0, "WMI filter activated"),
        5860: ("base_event", 0, "WMI temporary consumer registered"),
        5861: ("base_event", 0, "WMI permanent consumer registered", 2, 0),
    },
    "rdp": {
        21: (_AUTH, 1, "Remote desktop session logon", 1, 1),
        24: (_AUTH, 2, "Remote desktop session disconnected", 1, 1),
        25: (_AUTH, 1, "Remote desktop session reconnected", 1, 1),
        1149: (_AUTH, 1, "Remote desktop user authenticated"),
    },
    "bits": {
        3: ("base_event", 0, "BITS job created"),
        59: (_NET, 1, "BITS transfer started"),
        60: (_NET, 2, "BITS transfer stopped"),
    },
}

CHANNELS: Final[dict[str, str]] = {
    "Microsoft-Windows-Sysmon/Operational": "sysmon",
    "Security": "security",
    "System": "system",
    "Windows PowerShell": "powershell",
    "Microsoft-Windows-PowerShell/Operational": "powershell",
    "PowerShellCore/Operational": "powershell",
    "Microsoft-Windows-TaskScheduler/Operational": "task",
    "Microsoft-Windows-Windows Defender/Operational": "defender",
    "Microsoft-Windows-WMI-Activity/Operational": "wmi",
    "Microsoft-Windows-TerminalServices-RemoteConnectionManager/Operational": "rdp",
    "Microsoft-Windows-TerminalServices-LocalSessionManager/Operational": "rdp",
    "Microsoft-Windows-Bits-Client/Operational": "bits",
}
_FAMILIES: Final = tuple(_TABLE)
FAMILY_STEP: Final = 100_000
CHANNEL_CODES: Final[dict[str, int]] = {
    channel.lower(): (_FAMILIES.index(family) + 1) * FAMILY_STEP
    for channel, family in CHANNELS.items()
}
"""Channel name in lower case -> code of its family; code + event number is the key of MEANINGS."""


def _meaning(row: tuple[str, int, str] | tuple[str, int, str, int, int]) -> Meaning:
    return Meaning(class_named(row[0]).class_uid, *row[1:])


MEANINGS: Final[dict[int, Meaning]] = {
    (n + 1) * FAMILY_STEP + event: _meaning(row)
    for n, family in enumerate(_FAMILIES)
    for event, row in _TABLE[family].items()
}
