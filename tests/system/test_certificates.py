"""Certificates of our own: what an authority vouches for is trusted by whoever trusts it, and nobody else."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest

from llmlab.system.certificates import Authority, self_signed


def handshake(tmp_path, held, authority, name):
    """A server with a certificate, and a client that trusts an authority and asks for a name."""
    file = tmp_path / "held.pem"
    file.write_bytes(held.certificate + held.private_key)
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(file)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            served.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    trust = ssl.create_default_context(cadata=authority.decode())
    trust.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        with trust.wrap_socket(ours, server_hostname=name) as tls:
            return tls.version()
    finally:
        ours.close()
        thread.join()


def test_whoever_trusts_the_authority_trusts_what_it_issued(tmp_path):
    authority = Authority("a lab")
    held = authority.issue("llm.example.com", "*.other.example")
    assert handshake(tmp_path, held, authority.certificate, "llm.example.com")
    assert handshake(tmp_path, held, authority.certificate, "some.other.example")


def test_another_name_or_another_authority_is_refused(tmp_path):
    authority = Authority("a lab")
    held = authority.issue("llm.example.com")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'evil\.example'"):
        handshake(tmp_path, held, authority.certificate, "evil.example")
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        handshake(tmp_path, held, Authority("a lab").certificate, "llm.example.com")


def test_one_that_vouches_for_itself(tmp_path):
    held = self_signed("llm.example.com")
    assert handshake(tmp_path, held, held.certificate, "llm.example.com")
