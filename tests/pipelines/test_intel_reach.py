"""See that no url, name or address leads into the house, a cloud's metadata or nowhere."""

import pytest

from pipelines.intel.reach import networks, placed, resolved
from storage.errors import InvalidInput, Unavailable

PUBLIC = "93.184.215.14"


def place(url: str, *addresses: str, named: str = "") -> str:
    found = placed(url, networks(named), lambda _host, _port: addresses or (PUBLIC,))
    return f"{found.scheme} {found.host} {found.port} {found.path} {','.join(found.addresses)}"


def test_a_place_of_the_internet_is_reached_at_the_address_that_was_checked() -> None:
    assert place("https://Feeds.Example./a?b=1#c") == f"https feeds.example 443 /a?b=1 {PUBLIC}"
    assert place("https://f.example:8443", "2a00:1450::1") == "https f.example 8443 / 2a00:1450::1"


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "this machine"),
        ("127.255.255.254", "this machine"),
        ("::1", "this machine"),
        ("10.1.2.3", "private"),
        ("172.31.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.100.100.200", "private"),
        ("198.18.0.1", "private"),
        ("192.0.2.1", "private"),
        ("240.0.0.1", "no address of a host"),
        ("255.255.255.255", "no address of a host"),
        ("0.0.0.0", "no address of a host"),
        ("::", "no address of a host"),
        ("169.254.169.254", "metadata"),
        ("169.254.1.1", "link-local"),
        ("168.63.129.16", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fc00::1", "private"),
        ("fec0::1", "private"),
        ("4000::1", "private"),
        ("2001:db8::1", "private"),
        ("224.0.1.1", "multicast"),
        ("ff0e::1", "multicast"),
        ("::ffff:127.0.0.1", "this machine"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:169.254.169.254", "metadata"),
        ("::127.0.0.1", "this machine"),
        ("2002:7f00:1::", "this machine"),
        ("2002:a9fe:a9fe::1", "metadata"),
        ("64:ff9b::7f00:1", "this machine"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("2001:0:7f00:1::", "no address of a host"),
        ("no address", "no address"),
    ],
)
def test_an_address_that_is_not_of_the_internet_is_refused(address: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        place("https://feeds.example/", address)
    with pytest.raises(InvalidInput, match=why):
        place("https://feeds.example/", PUBLIC, address)


@pytest.mark.parametrize(
    "host",
    ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]"],
)
def test_this_machine_in_any_spelling_is_refused(host: str) -> None:
    with pytest.raises((InvalidInput, Unavailable)):
        placed(f"https://{host}/", (), resolved)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://feeds.example/",
        "ftp://feeds.example/",
        "https:///path",
        "https://user:word@feeds.example/",
        "https://feeds.example\\@127.0.0.1/",
        "https://feeds.example/a b",
        "https://feeds.example/a\r\nHost: x",
        "https://feeds.example:0/",
        "https://feeds.example:99999/",
        "https://[::1/",
        "https://fe\u0430ds.example/",
        "https://[fe80::1%25eth0]/",
        "//feeds.example/",
        "https://feeds.example/" + "a" * 2048,
    ],
)
def test_what_is_no_url_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        place(url)


def test_in_clear_and_private_only_where_the_settings_name_it() -> None:
    with pytest.raises(InvalidInput, match="in clear"):
        place("http://feeds.example/")
    told = place("http://feeds.example/", "10.1.2.3", named="10.1.2.0/24, ::1")
    assert told == "http feeds.example 80 / 10.1.2.3"
    assert place("https://feeds.example/", "::ffff:10.1.2.3", named="10.1.2.3")
    with pytest.raises(InvalidInput, match="private"):
        place("http://feeds.example/", "10.1.3.3", named="10.1.2.0/24")
    with pytest.raises(InvalidInput, match="in clear"):
        place("http://feeds.example/", "10.1.2.3", PUBLIC, named="10.1.2.0/24")


def test_metadata_and_link_local_not_even_then() -> None:
    for address in ("169.254.169.254", "fe80::1", "224.0.0.1", "168.63.129.16", "0.0.0.0"):
        with pytest.raises(InvalidInput):
            place("https://feeds.example/", address, named="0.0.0.0/0, ::/0")
    with pytest.raises(InvalidInput, match="INOPSIO_FEED_ADDRESSES"):
        networks("10.0.0.0/8, nonsense")


def test_a_name_without_address_may_have_one_later() -> None:
    with pytest.raises(Unavailable, match="no address"):
        placed("https://feeds.example/", (), lambda _host, _port: ())


def test_what_a_server_sends_us_on_to_is_in_no_message() -> None:
    with pytest.raises(InvalidInput) as told:
        placed("https://secret.example/", (), lambda _host, _port: ["127.0.0.1"], hop=True)
    assert "secret" not in str(told.value)
