"""Certificates of our own: an authority that lives as long as what it vouches for, and names that vouch for themselves."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

LIFE = datetime.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    private_key: bytes


class Authority:
    """One that nobody else knows.

    :param name: its common name.
    """

    def __init__(self, name: str) -> None:
        self._key, self._name = _key(), name
        self._made = _signed(name, (), self._key, name, self._key, authority=True)
        #: What whoever trusts it is given, PEM.
        self.certificate = _pem(self._made)

    def issue(self, *names: str) -> Certificate:
        """A certificate for these host names, good for 30 days; the first is its common name."""
        key = _key()
        return Certificate(
            _pem(_signed(names[0], names, key, self._name, self._key, authority=False)), _private(key)
        )


def trust(authority: bytes | None = None) -> ssl.SSLContext:
    """What a client verifies a server's certificate with.

    :param authority: the certificate of whom it trusts, and of nobody else (PEM); None: whom the system trusts.
    :raises ssl.SSLError: when that is no certificate.
    """
    return ssl.create_default_context(cadata=authority.decode() if authority else None)


def self_signed(domain: str) -> Certificate:
    """A certificate for a name, by nobody but itself; good for 30 days."""
    key = _key()
    return Certificate(_pem(_signed(domain, (domain,), key, domain, key, authority=True)), _private(key))


def _key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _signed(
    subject: str,
    names: Sequence[str],
    key: EllipticCurvePrivateKey,
    issuer: str,
    by: EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + LIFE)
        .add_extension(
            x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True
        )
        # OpenSSL in its strict way (Python's from 3.13 on) wants both of whatever is not its own authority
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if authority and not names:
        made = made.add_extension(_usage(), critical=True)
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        made = made.add_extension(alternatives, critical=False)
    return made.sign(by, hashes.SHA256())


def _usage() -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
