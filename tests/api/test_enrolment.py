"""Enrol real agents over real TLS, and sit in the attacker's seat."""

import contextlib
import http.client
import json
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from agent import doctor
from agent.deliver import ship_all
from agent.enroll import _key_text, enroll, renew
from agent.errors import AgentError, Away
from agent.identity import Identity
from agent.ship import Sender, Server
from agent.spool import Spool
from agent.trust import trusting
from api.admission import approve_agent, set_needs_approval
from api.auth import create_token
from api.auth.agents import Peer
from api.authority import authority_of, serial_of
from api.desk import MOST_RUNS
from api.enrolment import MOST_RENEWALS, revoke_agent
from api.enrolment import renew as give_renewal
from deploy.process._peer import MOST_STRANGERS
from storage.database import Database
from storage.errors import NotAllowed, NotFound
from storage.sealing import Seal
from storage.settings import Settings
from storage.tenant import Actor, Role, Scope
from tests.api.agents_house import RUN, House, listening, say, send, why_not

WEEK_S = 7 * 86_400
ADMIN = Scope("acme", Actor("user", "ann"), frozenset({Role.ADMIN}))


@pytest.fixture
def house(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> Iterator[House]:
    with listening(settings, database, two_tenants, tmp_path) as made:
        yield made


def request(name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(named).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM).decode()


def test_a_host_enrols_and_its_events_are_its_tenants(house: House) -> None:
    made = house.enroll("ws-1")
    assert send(made)[0] == 202
    (kept,) = [r for p in range(2) for r in house.log.read("raw.events", p, 0, 10)]
    assert kept.headers["tenant"] == "acme"
    (row,) = house.agents()
    assert row["agent_id"] == made.agent_id
    assert row["seen_at"] is not None


def test_the_name_under_which_a_host_was_let_in_is_kept(house: House) -> None:
    house.enroll("ws-1", house.token(host="web1"))
    assert [row["named"] for row in house.agents()] == ["web1"]
    house.enroll("ws-1", house.token(host="web2"), folder="again")
    assert [row["named"] for row in house.agents()] == ["web2"]


def test_where_the_tenant_wants_it_an_agent_waits_for_an_administrators_yes(house: House) -> None:
    first = house.enroll("ws-1")
    set_needs_approval(house.database, ADMIN, True)
    made = house.enroll("ws-2")
    assert send(first)[0] == 202
    status, why = send(made)
    assert (status, "waits for an administrator" in why) == (403, True)
    assert say(made, "/v1/agents/beat")[0] == 403
    with pytest.raises(NotFound):
        approve_agent(house.database, replace(ADMIN, tenant_id="bolt"), made.agent_id)
    viewer = replace(ADMIN, roles=frozenset({Role.ANALYST}))
    with pytest.raises(NotAllowed):
        approve_agent(house.database, viewer, made.agent_id)
    approve_agent(house.database, ADMIN, made.agent_id)
    assert send(made)[0] == 202
    assert ("agent.approve", "done", "") in house.trail()
    assert house.refused() == [("agent.refused", "waits")]


def test_the_agent_that_waits_keeps_its_rows_and_tries_again(house: House) -> None:
    set_needs_approval(house.database, ADMIN, True)
    made = house.enroll("ws-1")
    spool = Spool(house.folder / "spool.sqlite")
    sender = Sender(Server(made.url, identity=made), "abcdef", "ws-1")
    try:
        spool.append("events", "ocsf_json", [b"{}"])
        with pytest.raises(Away, match="approval"):
            ship_all(spool, sender)
        approve_agent(house.database, ADMIN, made.agent_id)
        assert ship_all(spool, sender) == 1
    finally:
        sender.close()
        spool.close()


def test_key_and_certificate_are_the_owners_alone(house: House) -> None:
    made = house.enroll("ws-1")
    assert (made.folder / "identity.pem").stat().st_mode & 0o777 == 0o600
    shown = x509.load_pem_x509_certificate((made.folder / "identity.pem").read_bytes())
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        f"inopsio://acme/agent/{made.agent_id}"
    ]
    life = shown.not_valid_after_utc - shown.not_valid_before_utc
    assert abs(life.total_seconds() - WEEK_S - 3600) < 5
    assert 0.6 < (made.renew_at_s - house.clock.now_us / 1e6) / WEEK_S < 0.7


def test_a_replayed_token_is_refused_and_audited(house: House) -> None:
    token = house.token()
    house.enroll("ws-1", token)
    assert "401" in why_not(house, "ws-2", token=token)
    assert house.refused() == [
        ("agent.enrol", "the enrolment token is unknown, used, over an hour old or revoked")
    ]
    assert len(house.agents()) == 1


def test_an_expired_token_is_refused(house: House) -> None:
    token = house.token()
    house.clock.forward(3601)
    assert "401" in why_not(house, "ws-1", token=token)
    assert [a for a, _ in house.refused()] == ["agent.enrol"]


def test_another_tenants_token_lets_into_that_tenant_only(house: House) -> None:
    token = house.token(house.bolt)
    assert "401" in why_not(house, "ws-1", token=token.replace("_bolt_", "_acme_"))
    assert [a for a, _ in house.refused()] == ["agent.enrol"]
    assert house.enroll("ws-1", token).tenant_id == "bolt"
    assert house.agents() == []


def test_a_token_of_another_kind_enrols_nobody(house: House) -> None:
    text = create_token(house.database, ADMIN, "t", [Role.ADMIN], 3600)
    assert "401" in why_not(house, "ws-1", token=text)
    assert "401" in why_not(house, "ws-1", token=text.replace("inop_", "enrol_"))


def test_a_wrong_fingerprint_gets_no_token(house: House) -> None:
    token = house.token()
    with pytest.raises(AgentError, match="another fingerprint"):
        enroll(house.folder / "a", house.url, token, "sha256:" + "0" * 64)
    assert not (house.folder / "a" / "identity.pem").exists()
    assert house.enroll("ws-1", token).tenant_id == "acme"  # it was not even sent


def test_an_agent_of_one_tenant_sends_nothing_into_another(house: House) -> None:
    made = house.enroll("ws-1")
    assert send(made, tenant="bolt")[0] == 403
    assert say(made, "/v1/ingest", b"x\n", **{"X-Tenant": "bolt"})[0] == 403
    other = house.enroll("ws-2")
    assert send(made, source=f"agent:{other.agent_id}.0:events")[0] == 403
    assert send(made, source="somewhere")[0] == 403
    assert house.refused() == [("request.refused", "NotAllowed")] * 4


def test_a_tenant_field_in_an_event_is_overruled_and_audited(house: House) -> None:
    made = house.enroll("ws-1")
    row = b'{"time":1795000000000,"class_uid":1007,"tenant_id":"bolt"}\n'
    path = f"/v1/ingest?format=ocsf_json&source=agent:{made.agent_id}.0:events"
    assert say(made, path, row)[0] == 202
    kept = [r for p in range(2) for r in house.log.read("raw.events", p, 0, 10)]
    assert {r.headers["tenant"] for r in kept} == {"acme"}
    assert house.refused() == [("events.forged-tenant", "tenant overruled")]


def test_a_token_cannot_speak_for_an_enrolled_agent(house: House) -> None:
    made = house.enroll("ws-1")
    sender = house.front().bearer(house.acme, Role.INGEST)
    query = {"source": f"agent:{made.agent_id}.0:events", "format": "syslog"}
    assert sender.post("/v1/ingest", params=query, content=b"x\n").status_code == 403


def test_a_revoked_agent_is_refused_from_the_next_request_on(house: House) -> None:
    made = house.enroll("ws-1")
    assert send(made)[0] == 202
    admin = house.front().bearer(house.acme, Role.ADMIN)
    assert admin.delete(f"/v1/agents/{made.agent_id}").status_code == 204
    assert send(made) == (403, "this agent was revoked; enrol it again with a new token")
    with pytest.raises(AgentError, match="revoked"):
        renew(replace(made, run="0123456789abcdef"))
    assert ("agent.refused", "revoked") in house.refused()


def test_an_expired_certificate_is_refused_in_words_and_audited(house: House) -> None:
    made = house.enroll("ws-1")
    house.clock.forward(WEEK_S + 599)
    assert send(made)[0] == 202  # ten minutes of a wrong clock are nobody's fault
    house.clock.forward(2)
    assert send(made)[0] == 403
    assert house.refused() == [("agent.refused", "expired")]


def test_a_clock_ten_minutes_behind_is_tolerated(house: House) -> None:
    made = house.enroll("ws-1")
    house.clock.forward(-3600 - 599)  # the certificate begins an hour before it was made
    assert send(made)[0] == 202


def test_two_hosts_with_one_key_are_noticed_and_both_refused(house: House) -> None:
    made = house.enroll("ws-1")
    shutil.copytree(made.folder, house.folder / "thief")
    thief = replace(made, folder=house.folder / "thief")
    assert send(made, "a" * 16)[0] == 202
    house.clock.forward(60)
    assert send(thief, "b" * 16)[0] == 202  # looks like a restart
    house.clock.forward(60)
    assert send(made, "a" * 16)[0] == 403  # but the first one lives
    assert send(thief, "b" * 16)[0] == 403
    assert send(thief, "c" * 16)[0] == 403
    assert house.refused()[0] == ("agent.refused", "cloned")
    assert house.agents()[0]["cloned_at"] is not None
    assert send(house.enroll("ws-1"))[0] == 202  # a new token ends it


def test_a_restart_is_no_clone(house: House) -> None:
    made = house.enroll("ws-1")
    for run in ("a", "b", "c", "c", "d"):
        assert send(made, run * 16)[0] == 202
        house.clock.forward(60)
    assert house.refused() == []


def test_the_doctor_is_no_second_process(house: House) -> None:
    made = house.enroll("ws-1")
    assert send(made, "a" * 16)[0] == 202
    server = Server(made.url, identity=made)
    door = [f for f in doctor.examine(server, made.folder) if f.name == "certificate"]
    assert [f.is_ok for f in door] == [True, True]
    house.clock.forward(60)
    assert send(made, "a" * 16)[0] == 202
    assert house.refused() == []
    revoke_agent(house.database, ADMIN, made.agent_id, house.desk.now())
    *_, last = [f for f in doctor.examine(server, made.folder) if f.name == "certificate"]
    assert not last.is_ok
    assert "revoked" in last.text
    assert "enrol again" in last.fix


def test_a_renewal_is_not_given_to_who_was_shut_out_meanwhile(house: House) -> None:
    made = house.enroll("ws-1")
    shown = x509.load_pem_x509_certificate((made.folder / "identity.pem").read_bytes())
    span = shown.not_valid_before_utc, shown.not_valid_after_utc
    peer = Peer("acme", made.agent_id, serial_of(shown), *span)
    authority = authority_of(house.database, Seal.of(house.desk.settings), house.desk.now())

    def asked() -> str:
        return request(made.agent_id, ec.generate_private_key(ec.SECP256R1()))

    revoke_agent(house.database, ADMIN, made.agent_id, house.desk.now())
    with pytest.raises(NotAllowed):
        give_renewal(house.desk, authority, peer, asked())
    again = house.enroll("ws-1")
    with pytest.raises(NotAllowed):
        give_renewal(house.desk, authority, peer, asked())
    with house.database.app(ADMIN) as tx:
        assert tx.execute("SELECT next_serial FROM agents").fetchall() == [(None,)]
    assert send(again)[0] == 202


def test_an_agent_cannot_fill_the_ledger_with_renewals(house: House) -> None:
    made = house.enroll("ws-1")
    said = []
    for _ in range(MOST_RENEWALS + 1):
        key = ec.generate_private_key(ec.SECP256R1())
        told = json.dumps({"csr": request(made.agent_id, key)}).encode()
        said.append(say(made, "/v1/agents/renew", told)[0])
    assert said == [201] * MOST_RENEWALS + [429]
    assert send(made)[0] == 202


def test_a_thief_cannot_hide_behind_many_processes(house: House) -> None:
    made = house.enroll("ws-1")
    shutil.copytree(made.folder, house.folder / "thief")
    thief = replace(made, folder=house.folder / "thief")
    assert send(made, "a" * 16)[0] == 202
    house.clock.forward(60)
    said = [send(thief, f"{n:032x}")[0] for n in range(MOST_RUNS + 2)]
    assert said[-1] == 429
    house.clock.forward(60)
    assert send(made, "a" * 16)[0] == 403
    assert house.refused()[-1] == ("agent.refused", "cloned")


def test_a_request_without_a_run_is_not_taken(house: House) -> None:
    assert send(house.enroll("ws-1"), run="")[0] == 403


def test_a_renewed_certificate_replaces_the_one_before(house: House) -> None:
    made = house.enroll("ws-1")
    old = replace(made, folder=house.folder / "old", run="0123456789abcdef")
    shutil.copytree(made.folder, old.folder)
    newer = renew(replace(made, run="0123456789abcdef"))
    assert send(old)[0] == 202  # until the new one is used: its holder may have died
    assert send(newer)[0] == 202
    assert send(old) == (
        403,
        "the certificate was replaced by a newer one; enrol again with a new token",
    )
    assert house.refused() == [("agent.refused", "superseded")]


@pytest.mark.parametrize("days", [-10, 10])
def test_a_clock_days_off_neither_misses_nor_repeats_the_renewal(
    house: House, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    here = time.time() + days * 86_400
    monkeypatch.setattr("agent.enroll.time.time", lambda: here)
    made = house.enroll("ws-1")
    for found in (made, renew(replace(made, run=RUN))):
        assert not found.is_due(here + 4 * 86_400)
        assert found.is_due(here + 5 * 86_400)


def test_a_renewal_by_anothers_request_is_refused_and_audited(house: House) -> None:
    made, other = house.enroll("ws-1"), house.enroll("ws-2")
    for name in (other.agent_id, "enrol", ""):
        key = ec.generate_private_key(ec.SECP256R1())
        told = json.dumps({"csr": request(name or "x", key)}).encode()
        assert say(made, "/v1/agents/renew", told)[0] == 403
    key = ec.generate_private_key(ec.SECP256R1())
    told = json.dumps({"csr": request(made.agent_id, key)}).encode()
    assert say(made, "/v1/agents/renew", told)[0] == 201
    assert say(made, "/v1/agents/renew", told)[0] == 403  # a key is certified once
    assert {a for a, _ in house.refused()} == {"agent.renew"}


def test_a_request_of_another_kind_of_key_is_refused(house: House) -> None:
    made = house.enroll("ws-1")
    weak = [
        request(made.agent_id, rsa.generate_private_key(65_537, 2048)),
        request(made.agent_id, ec.generate_private_key(ec.SECP384R1())),
        request(made.agent_id, ec.generate_private_key(ec.SECP256R1()))[:-80] + "=\n",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "x",
    ]
    for csr in weak:
        told = json.dumps({"csr": csr}).encode()
        assert say(made, "/v1/agents/renew", told)[0] == 422, csr
    assert say(made, "/v1/agents/renew", json.dumps({"csr": "x" * 5000}).encode())[0] == 422
    assert say(made, "/v1/agents/renew", b"x" * (2 << 20))[0] == 413


def test_a_certificate_of_a_strange_authority_does_not_get_in(house: House) -> None:
    made = house.enroll("ws-1")
    key = ec.generate_private_key(ec.SECP256R1())
    shown = x509.load_pem_x509_certificate((made.folder / "identity.pem").read_bytes())
    forged = (
        x509.CertificateBuilder(
            issuer_name=shown.issuer,
            subject_name=shown.subject,
            public_key=key.public_key(),
            serial_number=shown.serial_number,
            not_valid_before=shown.not_valid_before_utc,
            not_valid_after=shown.not_valid_after_utc,
            extensions=list(shown.extensions),
        )
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )
    (made.folder / "identity.pem").write_text(_key_text(key) + forged)
    with pytest.raises(OSError):  # noqa: PT011  the handshake fails, as a reset or an alert
        send(made)


def test_strangers_do_not_take_the_agents_places(house: House) -> None:
    made = house.enroll("ws-1")
    context = trusting((made.folder / "authority.pem").read_text())
    place = urlsplit(made.url)
    with ExitStack() as open_ends:
        ends = []
        for _ in range(MOST_STRANGERS + 8):
            plain = socket.create_connection((str(place.hostname), place.port or 0), timeout=5)
            ends.append(open_ends.enter_context(context.wrap_socket(plain)))
        assert [_is_let_go(end) for end in ends[MOST_STRANGERS:]] == [True] * 8
        assert send(made)[0] == 202
    assert send(made)[0] == 202


def _is_let_go(end: ssl.SSLSocket) -> bool:
    end.settimeout(2)
    try:
        return end.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_nobody_gets_in_without_a_certificate(house: House) -> None:
    made = house.enroll("ws-1")
    token = "Bearer " + create_token(house.database, ADMIN, "t", [Role.ADMIN], 3600)

    class Bare:
        url = made.url

        @staticmethod
        def context() -> object:
            return trusting((made.folder / "authority.pem").read_text())

    for path in ("/v1/ingest", "/v1/agents/renew"):
        assert say(Bare(), path, Authorization=token)[0] == 401  # type: ignore[arg-type]  # bare
    assert say(Bare(), "/v1/users", Authorization=token)[0] == 404  # type: ignore[arg-type]  # bare


def test_a_hundred_installs_of_one_host_are_one_agent(house: House) -> None:
    seen = {house.enroll("ws-1", folder=f"again-{n % 7}").agent_id for n in range(100)}
    assert len(seen) == 1
    assert [r["enrolments"] for r in house.agents()] == [100]


def test_two_machines_of_one_image_are_two_agents(house: House) -> None:
    made = set()
    for n in range(2):
        (house.folder / f"hardware-{n}").write_text(f"board {n}")
        who = enroll(
            house.folder / f"image-{n}",
            house.url,
            house.token(),
            house.fingerprint,
            house.machine("image"),
            house.folder / f"hardware-{n}",
        )
        made.add(who.agent_id)
    assert len(made) == 2


def test_the_same_machine_in_another_tenant_is_another_agent(house: House) -> None:
    one = house.enroll("ws-1")
    two = house.enroll("ws-1", house.token(house.bolt), folder="bolt")
    assert one.agent_id != two.agent_id
    assert [len(house.agents(s)) for s in (house.acme, house.bolt)] == [1, 1]


def test_what_one_tenant_has_not_got_goes_to_no_other(house: House) -> None:
    identity = house.enroll("ws-1")
    for tenant, is_kept in ((house.acme, True), (house.bolt, False)):
        spool = Spool(identity.folder / "spool.sqlite")
        spool.append("events", "ocsf_json", [b"secret of acme"])
        spool.close()
        house.enroll("ws-1", house.token(tenant))
        spool = Spool(identity.folder / "spool.sqlite")
        assert bool(spool.queue()) is is_kept
        spool.close()
    (aside,) = identity.folder.glob("spool.sqlite.before-*")
    assert b"secret of acme" in aside.read_bytes()


def test_guessing_tokens_is_slowed_down(house: House) -> None:
    said = [why_not(house, "ws-1", token=f"enrol_acme_{n:043d}") for n in range(21)]
    assert "401" in said[19]
    assert "429" in said[20]
    assert len(house.refused()) == 1  # once in the trail, each in the count
    with pytest.raises(Away, match="429"):
        house.enroll("ws-1")


def test_a_suspended_tenants_agent_is_refused(house: House) -> None:
    made = house.enroll("ws-1")
    with house.database.owner() as tx:
        tx.execute("UPDATE tenants SET suspended = true WHERE tenant_id = 'acme'")
    assert send(made)[0] == 403


def test_every_step_is_in_the_trail(house: House) -> None:
    made = house.enroll("ws-1")
    newer = renew(replace(made, run="0123456789abcdef"))
    send(newer)
    house.enroll("ws-1")
    revoke_agent(house.database, ADMIN, made.agent_id, house.desk.now())
    assert [a for a, _, _ in house.trail()] == [
        *("token.create", "agent.enrol", "agent.renew", "agent.renewed"),
        *("token.create", "agent.enrol-again", "agent.revoke"),
    ]


def test_another_tenant_neither_sees_nor_revokes(house: House) -> None:
    made = house.enroll("ws-1")
    other = Scope("bolt", house.bolt.actor, frozenset({Role.ADMIN}))
    now = house.desk.now()
    with pytest.raises(NotFound):
        revoke_agent(house.database, other, made.agent_id, now)
    analyst = Scope("acme", house.acme.actor, frozenset({Role.ANALYST}))
    with pytest.raises(NotAllowed):
        revoke_agent(house.database, analyst, made.agent_id, now)
    assert send(made)[0] == 202


def kept(link: http.client.HTTPSConnection, made: Identity, position: int) -> tuple[int, bool]:
    """Send over a kept connection; give the status, and whether the house ends it."""
    row = b'{"time":1795000000000,"class_uid":1007}\n'
    source = f"agent:{made.agent_id}.0:events"
    link.request(
        "POST",
        f"/v1/ingest?format=ocsf_json&source={source}&position={position}",
        row,
        {"Inopsio-Run": RUN},
    )
    answer = link.getresponse()
    answer.read()
    return answer.status, answer.will_close


def test_a_kept_connection_ends_for_newer_papers_and_at_a_revocation(house: House) -> None:
    made = house.enroll("ws-1")
    place = urlsplit(made.url)
    link = http.client.HTTPSConnection("127.0.0.1", place.port, context=made.context())
    assert kept(link, made, 0) == (202, False)
    renew(replace(made, run=RUN))
    assert kept(link, made, 1) == (202, True)  # connect again, with the new certificate
    link = http.client.HTTPSConnection("127.0.0.1", place.port, context=made.context())
    assert kept(link, made, 2) == (202, False)
    revoke_agent(house.database, ADMIN, made.agent_id, house.desk.now())
    assert kept(link, made, 3) == (403, True)
    link.close()


def test_the_agents_door_knows_nothing_of_the_console(house: House) -> None:
    made = house.enroll("ws-1")
    for path in ("/v1/tokens", "/v1/events", "/v1/users", "/sign-in", "/"):
        assert say(made, path)[0] in {404, 405}, path


def test_after_an_enrolment_the_rows_to_come_have_numbers_that_nobody_used_up(
    house: House,
) -> None:
    made = house.enroll("ws-1")
    with contextlib.closing(Spool(made.folder / "spool.sqlite")) as spool:
        spool.append("events", "ocsf_json", [b"waits", b"waits too"])
        before = spool.next_batch(most=1)
        house.enroll("ws-1")
        spool.append("events", "ocsf_json", [b"new"])
        assert before is not None
        spool.done(before)
        left = [spool.next_batch(), spool.next_batch()]
    assert sorted((b.first, b.rows) for b in left if b) == [(0, [b"new"]), (1, [b"waits too"])]
    (fresh,) = {b.stream for b in left if b} - {"events"}
    assert fresh.startswith("events~")
