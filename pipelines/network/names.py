"""Name protocol numbers, DNS types and DNS answer codes as IANA lists them."""

from collections.abc import Sequence
from typing import Final

_PROTOCOLS: Final = {
    0: "hopopt", 1: "icmp", 2: "igmp", 4: "ipv4", 6: "tcp", 8: "egp", 9: "igp", 17: "udp",
    33: "dccp", 41: "ipv6", 43: "ipv6-route", 44: "ipv6-frag", 46: "rsvp", 47: "gre", 50: "esp",
    51: "ah", 58: "ipv6-icmp", 59: "ipv6-nonxt", 60: "ipv6-opts", 88: "eigrp", 89: "ospf",
    94: "ipip", 97: "etherip", 103: "pim", 108: "ipcomp", 112: "vrrp", 115: "l2tp", 132: "sctp",
    135: "mobility", 136: "udplite", 137: "mpls-in-ip",
}  # fmt: skip

_DNS_TYPES: Final = {
    1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR",
    10: "NULL", 11: "WKS", 12: "PTR", 13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP",
    18: "AFSDB", 19: "X25", 20: "ISDN", 21: "RT", 22: "NSAP", 23: "NSAP-PTR", 24: "SIG", 25: "KEY",
    26: "PX", 28: "AAAA", 29: "LOC", 30: "NXT", 31: "EID", 32: "NIMLOC", 33: "SRV", 34: "ATMA",
    35: "NAPTR", 36: "KX", 37: "CERT", 38: "A6", 39: "DNAME", 40: "SINK", 41: "OPT", 42: "APL",
    43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 49: "DHCID",
    50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 56: "NINFO", 57: "RKEY",
    58: "TALINK", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD",
    64: "SVCB", 65: "HTTPS", 99: "SPF", 100: "UINFO", 101: "UID", 102: "GID", 103: "UNSPEC",
    104: "NID", 105: "L32", 106: "L64", 107: "LP", 108: "EUI48", 109: "EUI64", 249: "TKEY",
    250: "TSIG", 251: "IXFR", 252: "AXFR", 253: "MAILB", 254: "MAILA", 255: "ANY", 256: "URI",
    257: "CAA", 258: "AVC", 32768: "TA", 32769: "DLV",
}  # fmt: skip

_DNS_CODES: Final = (
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
    "NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI",
)  # fmt: skip


def protocol_names(numbers: Sequence[int]) -> list[str]:
    """Name IP protocols in lower case; one without a name is its number.

    >>> protocol_names([6, 250])
    ['tcp', '250']
    """
    return [_PROTOCOLS.get(number) or str(number) for number in numbers]


def dns_type(number: int) -> str:
    """Name a DNS type; one without a name as RFC 3597 writes it.

    >>> dns_type(28), dns_type(999)
    ('AAAA', 'TYPE999')
    """
    return _DNS_TYPES.get(number) or f"TYPE{number}"


def dns_code(number: int) -> str:
    """Name a DNS answer code.

    >>> dns_code(3), dns_code(14)
    ('NXDOMAIN', 'RCODE14')
    """
    return _DNS_CODES[number] if number < len(_DNS_CODES) else f"RCODE{number}"
