"""See that one value has one form, however a feed writes it, and that no text breaks it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import InvalidInput
from storage.schema.indicator import TYPES, Indicator, normal


@pytest.mark.parametrize(
    ("kind", "written", "expected"),
    [
        ("ipv4", "203.0.113[.]9", ("ipv4", "203.0.113.9")),
        ("cidr", "203.0.113.9/24", ("cidr", "203.0.113.0/24")),
        ("cidr", "203.0.113.9/32", ("ipv4", "203.0.113.9")),
        ("ipv6", "2001:DB8:0::1", ("ipv6", "2001:db8::1")),
        ("domain", "Bücher[dot]Example.", ("domain", "xn--bcher-kva.example")),
        ("url", "hxxps://Evil[.]example:443/A?b=C#d", ("url", "https://evil.example/A?b=C")),
        ("url", "hxxp[://]evil.example", ("url", "http://evil.example/")),
        ("email", "Eve[at]Evil(.)example", ("email", "eve@evil.example")),
        ("md5", "D41D8CD98F00B204E9800998ECF8427E", ("md5", "d41d8cd98f00b204e9800998ecf8427e")),
    ],
)
def test_one_value_has_one_form(kind: str, written: str, expected: tuple[str, str]) -> None:
    assert normal(kind, written) == expected


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        *(("ipv4", "2001:db8::1"), ("cidr", "0.0.0.0/0"), ("domain", "1.2.3.4"), ("domain", "com")),
        *(("domain", "a..example"), ("url", "https://"), ("url", "http://[::1"), ("md5", "d41d")),
        *(("email", "@evil.example"), ("registry", "x"), ("url", "http://e.example/" + "a" * 2048)),
    ],
)
def test_what_is_no_indicator_is_refused_with_its_reason(kind: str, written: str) -> None:
    with pytest.raises(InvalidInput, match=r": \w+"):
        normal(kind, written)


_PIECES = st.sampled_from(
    ["[.]", ".", "hxxp", "://", "[@]", "[", "]", "/", ":", "a", "ß", "1", "xn--"]
)
_TEXTS = st.one_of(st.text(max_size=80), st.lists(_PIECES, max_size=12).map("".join))


@given(st.sampled_from(sorted(TYPES)), _TEXTS)
def test_any_text_is_refused_or_normal_for_good(kind: str, text: str) -> None:
    try:
        once = normal(kind, text)
    except InvalidInput:
        return
    assert normal(*once) == once


def test_an_indicator_ends_after_it_begins() -> None:
    with pytest.raises(InvalidInput, match="valid_until"):
        Indicator("domain", "evil.example", 10, 10, 50, "feed")
