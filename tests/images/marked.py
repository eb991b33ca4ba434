"""Image files with marks of origin, written by others: exiv2, c2pa-rs and Pillow."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import c2pa
import pyexiv2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TC260 = "http://www.tc260.org.cn/ns/AIGC/1.0/"
TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "tiff": "image/tiff", "avif": "image/avif", "gif": "image/gif"}  # fmt: skip
LABEL = {"Label": "1", "ContentProducer": "001191330106MA", "ProduceID": "abc-1", "ReservedCode1": "",
         "ContentPropagator": "公司", "PropagateID": "abc-2", "ReservedCode2": ""}  # fmt: skip


def picture(ext: str, *, mode: str = "RGB", **options: Any) -> bytes:
    """Draw a picture of noise as Pillow writes it."""
    out = io.BytesIO()
    bands = [Image.effect_noise((64, 48), 60 + number) for number in range(len(mode))]
    Image.merge(mode, bands).save(out, {"jpg": "JPEG"}.get(ext, ext.upper()), **options)
    return out.getvalue()


def exiv2_xmp(whole: bytes, properties: dict[str, str]) -> bytes:
    """Have exiv2 write properties of XMP."""
    pyexiv2.registerNs(TC260, "TC260")
    with pyexiv2.ImageData(whole) as image:
        image.modify_xmp(properties)
        return image.get_bytes()


def exiv2_reads(whole: bytes) -> dict[str, str]:
    with pyexiv2.ImageData(whole) as image:
        return image.read_xmp()


def exiv2_comment(whole: bytes, text: str) -> bytes:
    """Have exiv2 write the user comment of EXIF."""
    with pyexiv2.ImageData(whole) as image:
        image.modify_exif({"Exif.Photo.UserComment": text})
        return image.get_bytes()


def packet(body: str, *, head: str = "") -> bytes:
    """Spell an XMP packet."""
    return (
        f'{head}<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
        f' xmlns:I="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:T="{TC260}">{body}</rdf:RDF></x:xmpmeta>'
    ).encode()


def _name(common: str) -> x509.Name:
    organization = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "tests")
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common), organization])


def _certificate(
    subject: str, key: Any, issuer_key: Any, *, authority: bool, days: int = 1
) -> x509.Certificate:
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"],
        False,
    )  # fmt: skip
    signed = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=authority, crl_sign=authority, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    if not authority:
        email = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
        signed = signed.add_extension(email, critical=False)
    return signed.sign(issuer_key, hashes.SHA256())


def _new_key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def certificate_and_key(make: Callable[[], Any] = _new_key, *, days: int = 1) -> tuple[bytes, bytes]:
    """
    Make a certificate for signing, with that of its authority behind it, and its private key.

    :param days: until it ends; negative where it has ended.
    """
    own, authority = make(), _new_key()
    chain = (
        _certificate("tests", own, authority, authority=False, days=days),
        _certificate("authority", authority, authority, authority=True),
    )
    private = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain), private


def _signer_info() -> c2pa.C2paSignerInfo:
    certificate, private = certificate_and_key()
    return c2pa.C2paSignerInfo(
        alg=c2pa.C2paSigningAlg.ES256, sign_cert=certificate, private_key=private, ta_url=None
    )


def signed(whole: bytes, ext: str, *, remote: str = "") -> bytes:
    """
    Have c2pa-rs sign a picture.

    :param remote: where the manifest is to be found; in the file where omitted.
    """
    created = {"action": "c2pa.created", "digitalSourceType": f"{TERMS}trainedAlgorithmicMedia"}
    manifest = {
        "claim_generator_info": [{"name": "tests", "version": "1"}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [created]}}],
    }
    out = io.BytesIO()
    with c2pa.Signer.from_info(_signer_info()) as signer, c2pa.Builder(json.dumps(manifest)) as builder:
        if remote:
            builder.set_no_embed()
            builder.set_remote_url(remote)
        builder.sign(signer, TYPES[ext], io.BytesIO(whole), out)
    return out.getvalue()


def manifest_of(whole: bytes, ext: str) -> dict[str, Any]:
    """Have c2pa-rs tell the active manifest."""
    with c2pa.Reader(TYPES[ext], io.BytesIO(whole)) as reader:
        told = json.loads(reader.json())
    return told["manifests"][told["active_manifest"]]


def actions_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    (actions,) = (each for each in manifest["assertions"] if each["label"].startswith("c2pa.actions"))
    return actions["data"]["actions"]


def signature_state(whole: bytes, ext: str) -> str:
    """Ask c2pa-rs whether a signature holds; the authority is one of ours, so nobody trusts it."""
    with c2pa.Reader(TYPES[ext], io.BytesIO(whole)) as reader:
        return json.loads(reader.json())["validation_state"]
