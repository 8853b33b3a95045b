"""The eight stories as their sources write them: each is told whole, and no near miss is."""

from tests.walks.months import (
    DAY,
    Record,
    claimed,
    enrolled,
    fact,
    flow,
    logon,
    mail_rule,
    name_asked,
    ocsf,
    process,
    rules_of,
    sign_in,
    told,
    windows,
    written,
)
from tests.walks.path import rule_id

WORD = "C:\\Program Files\\Microsoft Office\\root\\Office16\\WINWORD.EXE"
SHELL = "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe"
SEVENZIP = "C:\\Program Files\\7-Zip\\7z.exe"
WS, WS_IP, SRV, SRV_IP = "WS-017", "10.20.4.17", "SRV-APP", "10.20.0.40"
ANN = "ann.lee"
HIDDEN = "SubjectContainsWords: invoice;payment; MoveToFolder: RSS Feeds; MarkAsRead: True"
ENCODED = f"powershell -nop -w hidden -enc {'QQBB' * 30}"


def _mail() -> Record:
    return ocsf(
        0,
        "mail",
        4009,
        2,
        email__from="billing@rneridian.example",
        email__to=f"{ANN}@meridian.example",
        email__subject="Overdue order",
        dmarc="fail",
        attachments="order.docm",
    )


def _phished() -> list[Record]:
    service = {"ServiceName": "xkwq", "ImagePath": "%COMSPEC% /Q /c powershell -enc QQBB"}
    return [
        logon(-30, WS, WS_IP, ANN, 2, "-"),
        _mail(),
        process(20, WS, WS_IP, ANN, Image=SHELL, ParentImage=WORD, CommandLine=ENCODED),
        windows(
            21,
            WS,
            WS_IP,
            "Microsoft-Windows-Sysmon/Operational",
            3,
            Image=SHELL,
            User=f"MERIDIAN\\{ANN}",
            Initiated="true",
            SourceIp=WS_IP,
            DestinationIp="203.0.113.77",
            DestinationPort=443,
            Protocol="tcp",
        ),
        logon(60, SRV, SRV_IP, "svc.deploy", 3, WS_IP),
        windows(61, SRV, SRV_IP, "System", 7045, **service),
        process(
            90,
            SRV,
            SRV_IP,
            "svc.deploy",
            Image=SEVENZIP,
            ParentImage="C:\\Windows\\System32\\cmd.exe",
            CommandLine="7z.exe a -pQ1w2 C:\\Windows\\Temp\\a.7z D:\\Shares\\Finance",
        ),
        flow(120, SRV_IP, "203.0.113.88", 400_000_000),
        flow(130, SRV_IP, "203.0.113.88", 300_000_000),
    ]


def test_phishing_is_told_from_mail_to_upload() -> None:
    found = told(_phished())
    rules = rules_of(found)
    for stem in (
        "macro_mail_then_office_script",
        "office_script_then_shell_calls_out",
        "office_script_then_remote_command",
        "remote_command_then_data_leaves",
    ):
        assert rule_id(stem) in rules, stem
    assert "bulk_upload" in rules


def test_updaters_maintenance_and_backups_open_nothing() -> None:
    nightly = [flow(n * DAY + 900, "10.20.0.50", "198.51.100.9", 30_000_000_000) for n in range(12)]
    updater = "C:\\Program Files\\Example Addin\\updater.exe"
    found = told(
        [
            process(0, WS, WS_IP, ANN, Image=updater, ParentImage=WORD, CommandLine=updater),
            logon(5, SRV, SRV_IP, "adm.kay", 3, "10.20.0.9"),
            windows(
                6,
                SRV,
                SRV_IP,
                "System",
                7045,
                ServiceName="PSEXESVC",
                ImagePath="%SystemRoot%\\PSEXESVC.exe",
            ),
            *nightly,
        ]
    )
    assert rules_of(found, opening=True) == set()
    assert sum(f.rule_id == "bulk_upload" for f in found) == 3  # then it is routine


def _paid(cents: int, *, confirmed: bool) -> list[Record]:
    vendor = {"vendor__uid": "V-7", "vendor__name": "Northwind"}
    said = {"confirmation": "phone", "confirmed_by": "bob.kay"}
    change = said if confirmed else {"confirmation": "none"}
    money = {"currency": "EUR", "document__type": "payment"}
    return [
        *(
            fact(
                n,
                "bob.kay",
                999002,
                1,
                amount_cents=100_000 + n,
                document__uid=f"P-{n}",
                **money,
                **vendor,
            )
            for n in range(8)
        ),
        fact(
            DAY, ANN, 999003, 5, vendor__bank_account="GB33BUKB20201555555555", **vendor, **change
        ),
        fact(
            DAY + 600,
            "bob.kay",
            999002,
            1,
            amount_cents=cents,
            document__uid="P-99",
            **money,
            **vendor,
        ),
    ]


def test_vendor_fraud_is_told_before_it_is_paid() -> None:
    found = told(
        [
            sign_in(0, ANN, "192.0.2.1", "laptop-1", "DE"),
            sign_in(DAY - 90, ANN, "203.0.113.5", "phone-x", "BR"),
            mail_rule(DAY - 60, ANN, HIDDEN),
            *_paid(400_000, confirmed=False),
        ]
    )
    fraud = claimed(found, "vendor_fraud_payment")
    assert (fraud.level, fraud.entity_type, fraud.entity) == ("critical", "vendor", "V-7")
    assert ("document", "P-99") in fraud.links
    assert rule_id("new_device_then_mail_hidden") in rules_of(found)


def test_a_vendor_that_moves_its_bank_and_says_so_is_left_alone() -> None:
    found = told([sign_in(0, ANN, "192.0.2.1", "laptop-1", "DE"), *_paid(110_000, confirmed=True)])
    assert rules_of(found) == set()


def _exports(user: str, many: int) -> list[Record]:
    usual = [
        fact(n * 60, f"seller{n % 4}", 999014, 1, record_count=80, document__type="contacts")
        for n in range(20)
    ]
    return [*usual, fact(9 * DAY, user, 999014, 1, record_count=many, document__type="contacts")]


def _notice(user: str) -> Record:
    return ocsf(3 * DAY, "hr", 999005, 5, person__uid="P-1", user__name=user)


def test_a_leaver_who_takes_contacts_along_is_told() -> None:
    found = told(
        [
            _notice(ANN),
            *_exports(ANN, 4_000),
            logon(9 * DAY + 5, WS, WS_IP, ANN, 2, "-"),
            name_asked(9 * DAY + 9, WS_IP, "content.dropboxapi.com", "203.0.113.60"),
            flow(9 * DAY + 10, WS_IP, "203.0.113.60", 260_000_000),
        ]
    )
    story = claimed(found, "leaver_takes_data_away")
    assert (story.level, story.entity_type, story.entity) == ("critical", "user", ANN)


def test_the_yearly_report_opens_nothing() -> None:
    found = told([_notice("someone.else"), *_exports(ANN, 4_000)])
    assert "export_volume" in rules_of(found)
    assert rules_of(found, opening=True) == set()


def _vendor(said: dict[str, str], approver: str, device: str) -> list[Record]:
    vendor = {"vendor__uid": "V-9", "vendor__name": "Shade Ltd"}
    bank = {"vendor__bank_account": "DE02120300000000202051"}
    invoice = {**vendor, "document__uid": "INV-1", "amount_cents": 90_000, "currency": "EUR"}
    return [
        ocsf(
            0,
            "hr",
            999005,
            1,
            user__name="eve.moss",
            person__bank_account="DE02 1203 0000 0000 2020 51",
        ),
        fact(60, "eve.moss", 999003, 1, **vendor, **bank, **said),
        fact(90, "eve.moss", 999001, 1, **invoice, device__uid="pc-eve"),
        fact(95, approver, 999001, 6, **invoice, device__uid=device, user__name="eve.moss"),
        fact(DAY, "pay.run", 999002, 1, **vendor, document__uid="PAY-1", amount_cents=90_000),
    ]


def test_a_ghost_vendor_is_told_by_account_and_by_device() -> None:
    for approver, device in (("eve.moss", "pc-2"), ("max.orr", "pc-eve")):
        story = claimed(told(_vendor({}, approver, device)), "ghost_vendor_paid")
        assert (story.level, story.entity) == ("critical", "V-9")


def test_a_declared_side_business_is_left_alone() -> None:
    said = {"confirmation": "declared", "confirmed_by": "head.finance"}
    assert rules_of(told(_vendor(said, "max.orr", "pc-max"))) == set()


def test_spraying_is_told_up_to_the_export() -> None:
    bad = "203.0.113.200"
    found = told(
        [
            *(sign_in(n / 2, f"user{n}", bad, "?", "RU", good=False) for n in range(30)),
            sign_in(20, "user4", bad, "x-1", "RU"),
            enrolled(40, "user4", bad),
            fact(70, "user4", 999014, 1, record_count=900, document__type="deals"),
        ]
    )
    for stem in ("many_accounts_tried_then_one_entered", "entered_account_gets_second_factor"):
        assert rule_id(stem) in rules_of(found), stem
    assert claimed(found, "entered_account_exports_records").entity == "user4"


def test_expired_passwords_and_a_forgotten_one_open_nothing() -> None:
    office = "192.0.2.1"
    monday = [
        record
        for n in range(60)
        for record in (
            sign_in(n / 4, f"user{n}", office, f"pc-{n}", "DE", good=False),
            sign_in(n / 4 + 0.4, f"user{n}", office, f"pc-{n}", "DE"),
        )
    ]
    forgot = [sign_in(300 + n, ANN, office, "pc-ann", "DE", good=False) for n in range(15)]
    found = told([*monday, *forgot, enrolled(400, ANN, office)])
    assert rules_of(found, opening=True) == set()
    assert "spraying.tried" not in rules_of(found)


def _busy_network() -> list[Record]:
    return [flow(n, f"10.20.5.{n}", f"198.51.100.{n % 9}", 2_000 + 77 * n) for n in range(40)]


def test_a_beacon_is_told_and_an_update_service_is_not() -> None:
    beacon = [flow(n + (n % 7 - 3) / 100, WS_IP, "203.0.113.150", 410 + n % 3) for n in range(150)]
    telemetry = [
        flow(n * 5 + host / 60, f"10.20.5.{host}", "198.51.100.250", 700)
        for n in range(100)
        for host in range(40)
    ]
    found = told([*_busy_network(), *beacon, *telemetry])
    stories = [f for f in found if f.detector == "beaconing"]
    assert len({f.finding_id for f in stories}) == 1  # a day's claims are one
    story = stories[0]
    assert (story.level, story.entity) == ("high", WS_IP)
    assert ("ip", "203.0.113.150") in story.links


def test_ransomware_is_told_on_its_host() -> None:
    image = "C:\\Users\\Public\\svc.exe"
    found = told(
        [
            process(
                0,
                "FS-01",
                "10.20.0.30",
                ANN,
                Image=image,
                CommandLine="vssadmin delete shadows /all",
            ),
            *(
                written(2 + n / 60, "FS-01", f"D:\\Shares\\plan{n}.docx.qzk9", image)
                for n in range(130)
            ),
            written(6, "FS-01", "D:\\Shares\\HOW_TO_RECOVER_FILES.txt", image),
        ]
    )
    story = claimed(found, "ransomware")
    assert (story.level, story.entity) == ("critical", "fs-01")
    assert "mass_rewrite" in rules_of(found)


def test_archive_jobs_and_a_look_at_shadow_copies_open_nothing() -> None:
    found = told(
        [
            process(
                0,
                "FS-01",
                "10.20.0.30",
                "adm",
                Image="C:\\x.exe",
                CommandLine="vssadmin list shadows",
            ),
            *(written(2 + n / 60, "FS-01", f"E:\\Archive\\{n}.zip", SEVENZIP) for n in range(300)),
        ]
    )
    assert rules_of(found, opening=True) == set()


def _deals(customer: str, mail: str, **more: str) -> list[Record]:
    who = {"customer__uid": customer, "customer__name": "Orr & Sons"}
    return [
        ocsf(0, "hr", 999005, 1, user__name="max.orr", private_mail="max@home.example"),
        fact(10, "sid.kay", 999012, 1, **who, mail=mail),
        *(
            fact(
                DAY * (n + 1),
                "sid.kay",
                999013,
                6,
                **who,
                document__uid=f"D-{n}",
                discount_percent=41.5,
                **more,
            )
            for n in range(5)
        ),
    ]


def test_prices_for_a_relative_are_one_story() -> None:
    found = told(_deals("C-9", "max@home.example"))
    related = [f for f in found if f.rule_id == "discounts.related"]
    assert [len(f.event_ids) for f in related] == [5, 6, 7]
    assert set(related[-1].parts) == {f.finding_id for f in related[:-1]}
    assert rule_id("insider_pricing") in rules_of(found)


def test_campaign_prices_open_nothing() -> None:
    found = told(_deals("C-9", "max@home.example", campaign="AUTUMN", approved_by="head.sales"))
    assert rules_of(found) == set()
