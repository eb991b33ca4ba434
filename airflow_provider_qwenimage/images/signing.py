"""
C2PA by c2pa-python (the extra ``c2pa``): whether a signature holds, and one made with the user's own certificate.

Nothing leaves the machine for it: no time-stamp authority is asked and no list of revoked certificates, and a manifest
that lies elsewhere is not fetched.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_qwenimage import __version__
from airflow_provider_qwenimage.exceptions import ImageUnmarked, TransferError
from airflow_provider_qwenimage.images.checked import MIB, receive, receive_bytes
from airflow_provider_qwenimage.images.origin import COMPOSITE, TRAINED
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from airflow_provider_qwenimage.images.checked import Downloaded
    from airflow_provider_qwenimage.images.formats import Buffer

_NAME = "airflow-provider-qwenimage"
_SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": True},
    "builder": {"thumbnail": {"enabled": False}},
}
_MEMORY_BYTES = 4 * MIB
_CHUNK = 1 << 18
# One grey pixel: what a trial signs.
_PIXEL = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@cache
def _context() -> Any:
    import c2pa

    return c2pa.Context.from_dict(_SETTINGS)


def validation(body: Buffer, content_type: str) -> str | None:
    """
    Return what c2pa-python says of the manifest in a file; its position, where it is a file, is lost.

    :returns: ``Valid``, ``Trusted`` or ``Invalid``; ``None`` without the extra, and for a manifest that lies elsewhere.
    """
    try:
        import c2pa
    except ImportError:
        return None
    try:
        with c2pa.Reader(content_type, _stream(body), context=_context()) as reader:
            state = reader.get_validation_state()
    except c2pa.C2paError as error:
        absent = str(error).startswith(("Remote", "ManifestNotFound"))
        return None if absent else "Invalid"
    return str(state) if state else None


class Signer:
    """
    Signs images with a certificate of the user's; safe to share between threads.

    :param certificate: the chain in PEM, its own certificate first.
    :param key: its private key in PEM; no message shows any of it.
    :raises TransferError: they cannot sign, which a trial tells before anything is paid.
    """

    def __init__(self, certificate: bytes, key: bytes) -> None:
        import c2pa

        algorithm, private = _checked(certificate, key)
        self._info = c2pa.C2paSignerInfo(  # type: ignore[no-untyped-call]
            alg=getattr(c2pa.C2paSigningAlg, algorithm),
            sign_cert=certificate,
            private_key=private,
            ta_url=None,
        )
        try:
            with receive_bytes(_PIXEL, max_bytes=MIB) as pixel:
                self.signed(pixel).close()
        except (ImageUnmarked, c2pa.C2paError) as error:
            raise _unusable(f"a trial failed ({redact(error, limit=200)})") from None

    def signed(self, image: Downloaded, *, edited: bool = False, software: str | None = None) -> Downloaded:
        """
        Return an image with a manifest of how it was made; whoever gets it closes both.

        :param image: without a manifest; it stays as it is.
        :param edited: whether it was made of another image.
        :param software: the model that made it.
        :raises ImageUnmarked: it cannot be signed.
        """
        import c2pa

        written: IO[bytes] = io.BytesIO() if image.size <= _MEMORY_BYTES else tempfile.TemporaryFile()  # noqa: SIM115
        with written:
            try:
                manifest = json.dumps(_manifest(edited=edited, software=software))
                with (
                    c2pa.Signer.from_info(self._info) as signer,
                    c2pa.Builder(manifest, _context()) as builder,
                ):
                    builder.sign(signer, image.facts.content_type, _stream(image.body), written)
            except c2pa.C2paError as error:
                kind = image.facts.content_type
                raise ImageUnmarked(
                    f"The {kind} could not be signed: {redact(error, limit=200)}",
                    advice="It is stored as it came with provenance='keep'.",
                ) from None
            finally:
                image.rewind()
            written.seek(0)
            signed = receive(iter(partial(written.read, _CHUNK), b""), max_bytes=sys.maxsize)
        return replace(signed, arrived_sha256=image.arrived_sha256 or image.sha256)


def _stream(body: Buffer) -> IO[bytes]:
    if isinstance(body, bytes | bytearray):
        return io.BytesIO(body)
    body.seek(0)
    return body


def _manifest(*, edited: bool, software: str | None) -> dict[str, Any]:
    """
    Spell how an image was made, as C2PA 2.1 has it: created, or edited from an ingredient that was opened.

    Of the ingredient is said that there is one: its bytes are not at hand, and its name is nobody's business.
    """
    made: dict[str, Any] = {"action": "c2pa.edited" if edited else "c2pa.created"}
    made["digitalSourceType"] = COMPOSITE if edited else TRAINED
    if software:
        made["softwareAgent"] = {"name": software}
    manifest: dict[str, Any] = {"claim_generator_info": [{"name": _NAME, "version": __version__}]}
    actions = [made]
    if edited:
        manifest["ingredients"] = [{"title": "input image", "relationship": "parentOf", "label": "input"}]
        actions = [{"action": "c2pa.opened", "parameters": {"ingredientIds": ["input"]}}, made]
    return {**manifest, "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}]}


def _checked(certificate: bytes, key: bytes) -> tuple[str, bytes]:
    """Return the algorithm of a certificate, and its key in the form that c2pa-python takes."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.x509 import load_pem_x509_certificates

    try:
        own = load_pem_x509_certificates(certificate)[0]
    except (ValueError, IndexError):
        raise _unusable("the certificate is no PEM") from None
    try:
        private = form.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        raise _unusable("the key is no PEM, or has a passphrase") from None
    spki = form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo
    if own.public_key().public_bytes(*spki) != private.public_key().public_bytes(*spki):
        raise _unusable("the key is another certificate's")
    if not own.not_valid_before_utc <= datetime.now(UTC) <= own.not_valid_after_utc:
        raise _unusable(f"the certificate is valid to {own.not_valid_after_utc:%Y-%m-%d} only, or not yet")
    pem = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return _algorithm(own.public_key()), pem


def _algorithm(public: Any) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES:
        return _CURVES[public.curve.name]
    if isinstance(public, rsa.RSAPublicKey):
        return "PS256"
    if isinstance(public, ed25519.Ed25519PublicKey):
        return "ED25519"
    raise _unusable(
        "C2PA knows no signature of its kind: EC on P-256, P-384 or P-521, RSA and Ed25519 are taken"
    )


def _unusable(why: str) -> TransferError:
    return TransferError(
        f"[qwenimage] c2pa_certificate and c2pa_key cannot sign: {why}",
        billing="no",
        advice="Correct them, or take both away to label without a signature.",
    )
