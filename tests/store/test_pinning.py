"""A pinned TLS connection still proves the name that was asked for."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_provider_qwenimage.exceptions import TransferError
from airflow_provider_qwenimage.images.download import Downloads, Limits
from store.file_server import FileServer, png

NAME = "images.invalid"


def certificate(folder):
    """Write a self-signed certificate for ``NAME`` with its key, and return the path."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "images.pem"
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return str(path)


@pytest.fixture
def secure(tmp_path, monkeypatch):
    """A file server that speaks TLS as ``NAME``, and the bundle that trusts it."""
    monkeypatch.setattr("airflow_provider_qwenimage.images.hosts.is_public", lambda address: True)
    bundle = certificate(tmp_path)
    server = FileServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle)
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    try:
        yield server, bundle
    finally:
        server.close()


def fetch(server, bundle, name):
    downloads = Downloads(
        limits=Limits(attempts=1),
        verify=bundle,
        sleep=lambda _: None,
        resolve=lambda host, port: ("127.0.0.1",),
    )
    with downloads, downloads.fetch(f"https://{name}:{server.port}/a.png") as image:
        return image.size


def test_the_certificate_is_held_against_the_name_and_not_the_address(secure):
    server, bundle = secure
    server.put("/a.png", png(1))
    assert fetch(server, bundle, NAME) == len(png(1))
    assert server.seen[0].headers["host"] == f"{NAME}:{server.port}"
    with pytest.raises(TransferError, match="certificate"):
        fetch(server, bundle, "other.invalid")
    assert len(server.seen) == 1
