"""Check what the house signed. Needs `cryptography`; loaded only when there is something to check.

An order is JSON of three texts: `body`, `signature`, `certificate`. Good is what a key signed that
the authority of this host's enrolment certified for orders, and for this tenant and agent alone.
"""

import base64
import binascii
import json
import ssl
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.errors import BadOrder
from agent.identity import Identity
from agent.pin import check

MARK: Final = b"inopsio/order/1\n"
SIGNER_URI: Final = "inopsio://house/orders"
LARGEST: Final = 256 << 10
SKEW_S: Final = 600.0


class NotSigned(BadOrder):
    """What came is not the house's word to this agent."""


def opened(
    text: str, identity: Identity, about: str, now_s: float, pin: Path | None = None
) -> dict[str, Any]:
    """Give an order's body; NotSigned says why it is not to be obeyed.

    `about`: 'policy' or 'action'; `pin`: where root pinned the authority. Of the body only what is
    checked here is known to be so: the signature, `about`, `tenant` and `agent`.
    """
    if len(text) > LARGEST:
        raise NotSigned(f"the order is over {LARGEST} bytes")
    try:
        told = json.loads(text)
        body, signature, shown = (str(told[n]) for n in ("body", "signature", "certificate"))
        signed = base64.b64decode(signature, validate=True)
        signer = x509.load_pem_x509_certificate(shown.encode())
        authority = (identity.folder / "authority.pem").read_text(encoding="ascii")
        check(pin, authority)
        # The pinned one alone, whatever else the file has.
        trusted = x509.load_der_x509_certificate(ssl.PEM_cert_to_DER_cert(authority.strip()))
        _check_signer(signer, trusted, now_s)
        key = signer.public_key()
        if not isinstance(key, Ed25519PublicKey):
            raise NotSigned("the order's key is no Ed25519 key")
        key.verify(signed, MARK + body.encode())
        found = json.loads(body)
    except InvalidSignature:
        raise NotSigned("the order's signature is not the house's") from None
    except (ValueError, KeyError, TypeError, RecursionError, UnsupportedAlgorithm) as wrong:
        raise NotSigned(f"the order cannot be read: {type(wrong).__name__}") from None
    except binascii.Error:
        raise NotSigned("the order's signature cannot be read") from None
    mine = {"about": about, "tenant": identity.tenant_id, "agent": identity.agent_id}
    for name, wanted in mine.items():
        if not isinstance(found, dict) or found.get(name) != wanted:
            raise NotSigned(f"the order is for another {name}")
    checked: dict[str, Any] = found
    return checked


def _check_signer(signer: x509.Certificate, authority: x509.Certificate, now_s: float) -> None:
    """Pass if the authority certified this key for orders, and for now; NotSigned if not."""
    try:
        signer.verify_directly_issued_by(authority)
        extensions = signer.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        raise NotSigned("the order's key is not certified by the house") from None
    if uris != [SIGNER_URI] or list(purposes) != [ExtendedKeyUsageOID.CODE_SIGNING]:
        raise NotSigned("the order's key is not certified for orders")
    begin, end = signer.not_valid_before_utc, signer.not_valid_after_utc
    if not begin.timestamp() - SKEW_S <= now_s <= end.timestamp() + SKEW_S:
        raise NotSigned("the order's key is not good at this time; look at the clock")
