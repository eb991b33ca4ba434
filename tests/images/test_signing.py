"""An image is signed with the user's certificate, and what c2pa-rs says of a signature is told."""

from __future__ import annotations

import base64
import io
import random
import socket
from functools import partial
from zlib import crc32

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from PIL import Image

from airflow_provider_qwenimage import exceptions
from airflow_provider_qwenimage.exceptions import ImageUnmarked, TransferError
from airflow_provider_qwenimage.images.checked import receive_bytes
from airflow_provider_qwenimage.images.label import Label, labelled
from airflow_provider_qwenimage.images.origin import COMPOSITE, TRAINED
from airflow_provider_qwenimage.images.signing import Signer
from images.marked import (
    actions_of,
    certificate_and_key,
    exiv2_reads,
    manifest_of,
    picture,
    signature_state,
    signed,
)

KINDS = {
    "P-256": partial(ec.generate_private_key, ec.SECP256R1()),
    "P-384": partial(ec.generate_private_key, ec.SECP384R1()),
    "P-521": partial(ec.generate_private_key, ec.SECP521R1()),
    "RSA": partial(rsa.generate_private_key, 65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Neither a time-stamp authority nor anybody else is asked."""

    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def signer():
    return Signer(*certificate_and_key())


def received(whole):
    return receive_bytes(whole, max_bytes=1 << 30)


def pixels(whole):
    with Image.open(io.BytesIO(whole)) as image:
        return image.mode, image.tobytes()


@pytest.mark.parametrize("ext", ["png", "jpg", "webp", "avif", "gif", "tiff"])
def test_an_image_is_signed_and_its_pixels_are_the_same(signer, ext):
    whole = picture(ext)
    with received(whole) as image, signer.signed(image, software="qwen-image-plus") as after:
        data = bytes(after.read())
        assert bytes(image.read()) == whole
        assert after.arrived_sha256 == image.sha256
    assert (after.facts.marks.c2pa, after.facts.marks.c2pa_state) == (True, "Valid")
    assert signature_state(data, ext) == "Valid"
    assert pixels(data) == pixels(whole)
    (made,) = actions_of(manifest_of(data, ext))
    assert made["action"] == "c2pa.created"
    assert made["digitalSourceType"] == TRAINED
    assert made["softwareAgent"] == {"name": "qwen-image-plus"}


def test_an_edit_names_that_there_was_an_input_and_nothing_of_it(signer):
    with received(picture("jpg")) as image, signer.signed(image, edited=True) as after:
        manifest = manifest_of(bytes(after.read()), "jpg")
    actions = actions_of(manifest)
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.edited"]
    assert actions[1]["digitalSourceType"] == COMPOSITE
    (ingredient,) = manifest["ingredients"]
    assert (ingredient["title"], ingredient["relationship"]) == ("input image", "parentOf")
    assert len(actions[0]["parameters"]["ingredients"]) == 1


def test_a_label_is_part_of_what_is_signed(signer):
    image = received(picture("png"))
    with labelled(image, Label()) as marked, signer.signed(marked) as after:
        data = bytes(after.read())
    assert exiv2_reads(data)["Xmp.iptcExt.DigitalSourceType"] == TRAINED
    assert signature_state(data, "png") == "Valid"
    assert after.arrived_sha256 == image.sha256


def test_a_large_image_is_signed_on_disk(signer):
    out = io.BytesIO()
    Image.frombytes("RGB", (1500, 1200), random.Random(1).randbytes(1500 * 1200 * 3)).save(out, "PNG")
    with received(out.getvalue()) as image, signer.signed(image) as after:
        assert not isinstance(after.body, bytearray)
        data = after.read()
        assert image.read() == out.getvalue()
    assert signature_state(data, "png") == "Valid"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key_that_c2pa_knows_signs(kind):
    with received(picture("jpg")) as image, Signer(*certificate_and_key(KINDS[kind])).signed(image) as after:
        assert after.facts.marks.c2pa_state == "Valid"


def test_a_format_that_c2pa_does_not_know_is_a_named_failure(signer):
    with (
        received(picture("bmp")) as image,
        pytest.raises(ImageUnmarked, match="image/bmp could not be signed"),
    ):
        signer.signed(image)


def test_a_manifest_that_was_tampered_with_is_told_as_invalid():
    whole = bytearray(signed(picture("png"), "png"))
    manifest = whole[33 : 33 + 12 + int.from_bytes(whole[33:37], "big")]
    assert manifest[4:8] == b"caBX"
    other = picture("png")  # other pixels under the same manifest
    spoilt = other[:33] + bytes(manifest) + other[33:]
    marks = received(spoilt).facts.marks
    assert (marks.c2pa, marks.c2pa_state) == (True, "Invalid")


def test_a_manifest_that_lies_elsewhere_is_not_fetched():
    marks = received(signed(picture("png"), "png", remote="https://manifests.invalid/1.c2pa")).facts.marks
    assert (marks.c2pa, marks.c2pa_state) == (True, None)


def test_bytes_that_only_look_like_a_manifest_are_told_as_they_are():
    whole = picture("jpg")
    jumbf = b"JP\0\1\0\0\0\1" + (60).to_bytes(4, "big") + b"jumb" + bytes(52)
    odd = whole[:2] + b"\xff\xeb" + (len(jumbf) + 2).to_bytes(2, "big") + jumbf + whole[2:]
    marks = received(odd).facts.marks
    assert marks.c2pa_state in (None, "Invalid")


def box(kind, body):
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def store_of(claim):
    """A store of manifests with one claim in it, as far as anybody needs to read to find the claim."""

    def described(kind, label, body):
        about = bytes.fromhex(f"{kind}00110010800000aa00389b71") + b"\3" + label + b"\0"
        return box(b"jumb", box(b"jumd", about) + body)

    inner = described("6332636c", b"c2pa.claim.v2", box(b"cbor", claim))
    return described("63327061", b"c2pa", described("63326d61", b"urn:c2pa:1", inner))


def nested(depth):
    about = box(b"jumd", bytes.fromhex("6332706100110010800000aa00389b71") + b"\3c2pa\0")
    each = 8 + len(about)
    return b"".join((each * (depth - level)).to_bytes(4, "big") + b"jumb" + about for level in range(depth))


@pytest.mark.parametrize(
    "store",
    [nested(100_000), store_of(b"\x81" * 1_000_000 + b"\0"), store_of(b"\x9b" + b"\xff" * 8), bytes(100_000)],
    ids=["nested boxes", "nested lists", "a list without end", "nothing"],
)
def test_a_manifest_made_to_hurt_is_told_as_it_is(store):
    whole = picture("png")
    chunk = b"caBX" + store
    odd = whole[:33] + len(store).to_bytes(4, "big") + chunk + crc32(chunk).to_bytes(4, "big") + whole[33:]
    image = received(odd)
    assert image.facts.marks.c2pa
    assert image.facts.marks.c2pa_state in (None, "Invalid")
    assert labelled(image, Label()) is image


def mistakes():
    certificate, key = certificate_and_key()
    _, other_key = certificate_and_key(KINDS["P-384"])
    odd = ec.generate_private_key(ec.SECP256K1())
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    return {
        "no certificate": (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key),
        "no key": (certificate, key[:80]),
        "another's key": (certificate, other_key),
        "a locked key": (certificate, locked),
        "an odd curve": certificate_and_key(lambda: odd),
        "an ended certificate": certificate_and_key(days=-2),
    }


@pytest.mark.parametrize("name", mistakes())
def test_what_cannot_sign_is_named_before_anything_is_paid_and_no_key_is_shown(name):
    certificate, key = mistakes()[name]
    with pytest.raises(TransferError, match="cannot sign") as caught:
        Signer(certificate, key)
    shown = str(caught.value) + str(caught.value.__cause__) + repr(caught.value.facts())
    assert not any(line in shown for line in key.decode().splitlines())
    assert base64.b64decode("".join(key.decode().splitlines()[1:2])) not in shown.encode()
    assert caught.value.billing == "no"
    assert type(caught.value) is exceptions.TransferError
