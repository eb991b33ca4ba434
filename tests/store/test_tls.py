"""Over TLS botocore sends other requests than without, and the certificate is checked against the bundle one names."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import NamedTuple

import pytest

from airflow_provider_qwenimage.exceptions import TransferError
from airflow_provider_qwenimage.images.download import Downloads, Limits
from airflow_provider_qwenimage.models.options import StoreOptions
from airflow_provider_qwenimage.storage.sources import read_sources
from airflow_provider_qwenimage.storage.store import ImageStore
from demo.local_s3 import Tls, serving
from store.file_server import FileServer, png


class Authority(NamedTuple):
    """A certificate of its own authority for 127.0.0.1, and its key; the certificate is the CA bundle too."""

    certificate: str
    key: str


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(here, critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    found = Authority(str(folder / "certificate.pem"), str(folder / "key.pem"))
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "certificate.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return found


@pytest.fixture(scope="module")
def tls_s3(authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rclone-tls")
    with serving(folder / "buckets", log=folder / "rclone.log", tls=Tls(*authority)) as server:
        yield server


@pytest.fixture
def tls_files(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority)
    server = FileServer(tls=context)
    try:
        yield server
    finally:
        server.close()


def test_a_set_and_its_manifest_are_stored_over_tls(tls_s3, tls_files, authority, monkeypatch):
    assert tls_s3.url.startswith("https://")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", tls_s3.connection)
    (tls_s3.folder / "images").mkdir()
    links = tls_files.images(3)
    assert links[0].startswith("https://")
    chosen = StoreOptions(
        s3_prefix="s3://images/set/", allow_private_hosts=True, verify=authority.certificate
    )

    with ImageStore(chosen) as store:
        outcome = store.store_all(read_sources(links))

    outcome.raise_if_incomplete()
    manifest = json.loads((tls_s3.folder / "images/set/manifest.json").read_text(encoding="utf-8"))
    assert [image["uri"] for image in manifest["images"]] == outcome.uris
    for number, uri in enumerate(outcome.uris):
        assert (tls_s3.folder / uri.removeprefix("s3://")).read_bytes() == png(number)


def test_a_store_whose_certificate_nobody_vouches_for_is_not_spoken_to(tls_s3, monkeypatch):
    fields = json.loads(tls_s3.connection)
    del fields["extra"]["verify"]
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(fields))
    with pytest.raises(TransferError, match=r"(?i)certificate"):
        ImageStore(StoreOptions(s3_prefix="s3://images/other/"))


@pytest.mark.parametrize("trusted", [True, False])
def test_a_bundle_decides_which_image_host_is_believed(tls_files, authority, trusted):
    (link,) = tls_files.images(1)
    verify = authority.certificate if trusted else True
    limits = Limits(allow_private_hosts=True, attempts=1)
    with Downloads(limits=limits, verify=verify, sleep=lambda _: None) as downloads:
        if trusted:
            with downloads.fetch(link) as image:
                assert image.read() == png(0)
        else:
            with pytest.raises(TransferError, match=r"(?i)certificate"):
                downloads.fetch(link)
    assert len(tls_files.requests()) == int(trusted)
