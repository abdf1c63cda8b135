"""What an account holds before Terraform comes: a certificate, a bucket with a model, a secret. Others made them, as at work."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from ...system.certificates import self_signed
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
        own = self_signed(domain)
        endpoint.client("acm").import_certificate(Certificate=own.certificate, PrivateKey=own.private_key)
        s3 = endpoint.client("s3")
        for name in (bucket, f"{bucket}-of-another-team"):
            s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=bucket, Key=model, Body=b"GGUF")
        manager = endpoint.client("secretsmanager")
        key = "sk-" + secrets.token_urlsafe(18)
        manager.create_secret(Name=secret, SecretString=key)
        foreign = manager.create_secret(Name="billing-database", SecretString="not yours")["ARN"]
        others = (f"arn:aws:s3:::{bucket}-of-another-team/{model}", foreign)
        return cls(
            domain, bucket, model, secret, key, own.certificate.decode(), own.private_key.decode(), others
        )
