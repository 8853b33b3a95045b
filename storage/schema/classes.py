"""List the event classes: OCSF's own, and the house's business classes in the same envelope."""

from dataclasses import dataclass
from typing import Final

from storage.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class EventClass:
    """Describe one class: `activities` maps activity_id to its OCSF name."""

    name: str
    class_uid: int
    category_uid: int
    activities: dict[int, str]


_CRUD = {1: "Create", 2: "Read", 3: "Update", 4: "Delete"}

CLASSES: Final[tuple[EventClass, ...]] = (
    EventClass("base_event", 0, 0, {}),
    EventClass(
        "file_activity",
        1001,
        1,
        _CRUD
        | {5: "Rename", 6: "Set Attributes", 7: "Set Security", 8: "Get Attributes", 14: "Open"},
    ),
    EventClass("kernel_extension_activity", 1002, 1, {1: "Load", 2: "Unload"}),
    EventClass("kernel_activity", 1003, 1, _CRUD),
    EventClass("memory_activity", 1004, 1, {}),
    EventClass("module_activity", 1005, 1, {1: "Load", 2: "Unload"}),
    EventClass("scheduled_job_activity", 1006, 1, _CRUD | {5: "Enable", 6: "Disable", 7: "Start"}),
    EventClass(
        "process_activity",
        1007,
        1,
        {1: "Launch", 2: "Terminate", 3: "Open", 4: "Inject", 5: "Set User ID"},
    ),
    EventClass("event_log_activity", 1008, 1, {1: "Clear", 2: "Delete", 7: "Stop"}),
    EventClass("vulnerability_finding", 2002, 2, {1: "Create", 2: "Update", 3: "Close"}),
    EventClass("detection_finding", 2004, 2, {1: "Create", 2: "Update", 3: "Close"}),
    EventClass(
        "account_change",
        3001,
        3,
        {
            1: "Create",
            2: "Enable",
            3: "Password Change",
            4: "Password Reset",
            5: "Disable",
            6: "Delete",
            7: "Attach Policy",
            8: "Detach Policy",
            9: "Lock",
            12: "Unlock",
        },
    ),
    EventClass(
        "authentication",
        3002,
        3,
        {1: "Logon", 2: "Logoff", 3: "Authentication Ticket", 4: "Service Ticket Request"},
    ),
    EventClass("authorize_session", 3003, 3, {1: "Assign Privileges", 2: "Assign Groups"}),
    EventClass(
        "entity_management",
        3004,
        3,
        _CRUD | {8: "Enable", 9: "Disable", 10: "Activate", 11: "Deactivate"},
    ),
    EventClass("user_access", 3005, 3, {1: "Assign Privileges", 2: "Revoke Privileges"}),
    EventClass(
        "group_management",
        3006,
        3,
        {1: "Assign Privileges", 3: "Add User", 4: "Remove User", 5: "Delete", 6: "Create"},
    ),
    EventClass(
        "network_activity",
        4001,
        4,
        {1: "Open", 2: "Close", 3: "Reset", 4: "Fail", 5: "Refuse", 6: "Traffic", 7: "Listen"},
    ),
    EventClass("http_activity", 4002, 4, {1: "Connect", 3: "Get", 6: "Post"}),
    EventClass("dns_activity", 4003, 4, {1: "Query", 2: "Response", 6: "Traffic"}),
    EventClass(
        "dhcp_activity",
        4004,
        4,
        {
            1: "Discover",
            2: "Offer",
            3: "Request",
            4: "Decline",
            5: "Ack",
            6: "Nak",
            7: "Release",
            8: "Inform",
        },
    ),
    EventClass("ssh_activity", 4007, 4, {1: "Open", 2: "Close"}),
    EventClass("email_activity", 4009, 4, {1: "Send", 2: "Receive", 3: "Scan"}),
    EventClass("network_file_activity", 4010, 4, {}),
    EventClass("tls_activity", 4014, 4, {1: "Open"}),
    EventClass("device_config_state", 5002, 5, {1: "Log", 2: "Collect"}),
    EventClass("device_config_state_change", 5019, 5, {1: "Log", 2: "Collect"}),
    EventClass("web_resources_activity", 6001, 6, _CRUD | {7: "Export"}),
    EventClass(
        "application_lifecycle", 6002, 6, {1: "Install", 2: "Remove", 3: "Start", 4: "Stop"}
    ),
    EventClass("api_activity", 6003, 6, _CRUD),
    EventClass("registry_key_activity", 201001, 1, _CRUD | {5: "Rename"}),
    EventClass("registry_value_activity", 201002, 1, {1: "Get", 2: "Set", 4: "Delete"}),
    EventClass("windows_service_activity", 201004, 1, _CRUD | {5: "Start", 6: "Stop"}),
    EventClass("invoice", 999001, 9990, _CRUD | {5: "Issue", 6: "Approve", 7: "Hold"}),
    EventClass("payment", 999002, 9990, _CRUD | {6: "Approve", 7: "Hold", 8: "Release", 9: "Pay"}),
    EventClass("vendor", 999003, 9990, _CRUD | {5: "Bank Change"}),
    EventClass("item", 999004, 9990, _CRUD | {5: "Price Change", 6: "Stock Adjust"}),
    EventClass("person", 999005, 9990, _CRUD | {5: "Notice", 6: "Leave"}),
    EventClass("contract", 999006, 9990, _CRUD | {5: "End"}),
    EventClass("company", 999011, 9990, _CRUD),
    EventClass("contact", 999012, 9990, _CRUD),
    EventClass("deal", 999013, 9990, _CRUD | {5: "Stage Change", 6: "Discount"}),
    EventClass("record_export", 999014, 9990, {1: "Export"}),
    EventClass("incident", 999021, 9990, {1: "Create", 3: "Update", 5: "Judge"}),
    EventClass("announcement", 999022, 9990, {1: "Create", 4: "Withdraw", 6: "Approve"}),
)

_BY_NAME: Final = {c.name: c for c in CLASSES}


def class_named(name: str) -> EventClass:
    """Give the class of that name; InvalidInput if there is none.

    >>> class_named("process_activity").class_uid
    1007
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        known = ", ".join(_BY_NAME)
        raise InvalidInput(f"event class '{name}' is unknown; one of: {known}") from None
