"""What an account holds before Terraform comes: a certificate, a bucket with a model, a secret. Others made them, as at work."""

from __future__ import annotations

import datetime
import secrets
from dataclasses import dataclass

from .endpoint import AwsEndpoint

DOMAIN, BUCKET, SECRET = "llm.example.com", "llmlab-models", "llama-api-key"


@dataclass(frozen=True, slots=True)
class Account:
    """The names by which the learner's files find them, and what only the lab knows: the key, and the certificate's own."""

    domain: str
    bucket: str
    model: str
    secret: str
    key: str
    certificate: str  # PEM, signed by itself
    private_key: str  # PEM
    others: tuple[str, ...]  # ARNs of things that are somebody else's

    @classmethod
    def furnish(
        cls,
        endpoint: AwsEndpoint,
        *,
        model: str = "20m.gguf",
        domain: str = DOMAIN,
        bucket: str = BUCKET,
        secret: str = SECRET,
    ) -> Account:
        """Put them into an empty account. The model's bytes are a stand-in's: the real ones lie in the cache."""
        certificate, private_key = self_signed(domain)
        endpoint.client("acm").import_certificate(Certificate=certificate, PrivateKey=private_key)
        s3 = endpoint.client("s3")
        for name in (bucket, f"{bucket}-of-another-team"):
            s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=bucket, Key=model, Body=b"GGUF")
        manager = endpoint.client("secretsmanager")
        key = "sk-" + secrets.token_urlsafe(18)
        manager.create_secret(Name=secret, SecretString=key)
        foreign = manager.create_secret(Name="billing-database", SecretString="not yours")["ARN"]
        others = (f"arn:aws:s3:::{bucket}-of-another-team/{model}", foreign)
        return cls(domain, bucket, model, secret, key, certificate.decode(), private_key.decode(), others)


def self_signed(domain: str) -> tuple[bytes, bytes]:
    """A certificate for a name and its private key, both PEM; good for 30 days."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
