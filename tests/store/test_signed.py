"""Images are signed on their way to S3, under names that hold; the key is nobody's to see."""

from __future__ import annotations

import json
import logging
import os
import sys

import pytest

from airflow_provider_qwenimage.exceptions import TransferError
from airflow_provider_qwenimage.images.origin import COMPOSITE, TRAINED
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator
from harness import InMemoryAirflow, run_task
from images.marked import actions_of, certificate_and_key, exiv2_reads, manifest_of, picture, signature_state
from images.marked import signed as signed_by_others
from store.file_server import png

CERTIFICATE, KEY = certificate_and_key()
OPTION = "AIRFLOW__QWENIMAGE__C2PA_"


@pytest.fixture(autouse=True)
def _gateway(qwenimage_connection):
    qwenimage_connection("tokenhot")


@pytest.fixture
def certificate():
    """Configure Airflow to sign."""
    os.environ[f"{OPTION}CERTIFICATE"], os.environ[f"{OPTION}KEY"] = CERTIFICATE.decode(), KEY.decode()


@pytest.fixture
def transfer(prefix):
    def run(images, where=prefix, **arguments):
        given = {"s3_prefix": where, "provenance": "label", **arguments}
        return run_task(QwenImageToS3Operator(task_id="transfer", images=images, **given))

    return run


def bytes_of(s3, uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return s3.client().get_object(Bucket=bucket, Key=key)["Body"].read()


def test_what_is_labelled_is_signed_and_the_record_says_so(files, s3, transfer, certificate):
    edit = {"url": files.put("/b", picture("jpg")), "operation": "edit", "model": "qwen-image-edit"}
    attempt = transfer([files.put("/a", png(1)), edit, files.put("/c", picture("avif"))])
    assert attempt.state == "success", attempt.error
    stored = [bytes_of(s3, uri) for uri in attempt.result]
    assert [signature_state(each, ext) for each, ext in zip(stored, ("png", "jpg", "avif"), strict=True)] == [
        "Valid"
    ] * 3
    assert exiv2_reads(stored[0])["Xmp.iptcExt.DigitalSourceType"] == TRAINED
    actions = actions_of(manifest_of(stored[1], "jpg"))
    assert [actions[1]["digitalSourceType"], actions[1]["softwareAgent"]] == [
        COMPOSITE,
        {"name": "qwen-image-edit"},
    ]
    assert [image["origin"]["c2pa_state"] for image in attempt.xcoms["stored"]] == ["Valid"] * 3
    assert all(image["arrived_sha256"] for image in attempt.xcoms["stored"])


def test_names_hold_although_no_two_signatures_are_alike(files, transfer, objects, certificate):
    urls = files.images(2)
    first = transfer(urls)
    assert transfer(urls).xcoms["stored"] == first.xcoms["stored"]
    objects.delete("manifest.json")  # as where the task died before its end
    again = transfer(urls)
    assert (again.result, again.xcoms["stored"]) == (first.result, first.xcoms["stored"])
    assert len([name for name in objects.names() if name.endswith(".png")]) == 2


def test_what_others_signed_is_never_touched(files, s3, transfer, certificate):
    whole = signed_by_others(picture("webp"), "webp")
    attempt = transfer(files.put("/a", whole))
    assert bytes_of(s3, attempt.result[0]) == whole
    assert attempt.xcoms["stored"][0]["origin"]["c2pa_state"] == "Valid"


def test_a_label_without_a_signature_gets_one_once_that_is_configured(files, s3, transfer, objects):
    urls = files.images(1)
    labelled = transfer(urls)
    os.environ[f"{OPTION}CERTIFICATE"], os.environ[f"{OPTION}KEY"] = CERTIFICATE.decode(), KEY.decode()
    attempt = transfer(urls)
    assert attempt.xcoms["stored"][0]["origin"]["c2pa"]
    assert attempt.xcoms["stored"][0]["arrived_sha256"] == labelled.xcoms["stored"][0]["sha256"]


@pytest.mark.parametrize("way", ["text", "escaped", "file", "cmd"])
def test_the_key_is_had_however_airflow_keeps_secrets(files, transfer, tmp_path, way):
    (tmp_path / "key.pem").write_bytes(KEY)
    (tmp_path / "certificate.pem").write_bytes(CERTIFICATE)
    os.environ[f"{OPTION}CERTIFICATE"] = str(tmp_path / "certificate.pem")
    name, value = {
        "text": ("KEY", KEY.decode()),
        "escaped": ("KEY", KEY.decode().replace("\n", "\\n")),
        "file": ("KEY", str(tmp_path / "key.pem")),
        "cmd": ("KEY_CMD", f"cat {tmp_path / 'key.pem'}"),
    }[way]
    os.environ[OPTION + name] = value
    attempt = transfer(files.images(1))
    assert attempt.state == "success", attempt.error
    assert attempt.xcoms["stored"][0]["origin"]["c2pa_state"] == "Valid"


@pytest.mark.usefixtures("certificate")
@pytest.mark.parametrize("missing", ["CERTIFICATE", "KEY", "KEY is another's", "c2pa"])
def test_what_cannot_sign_costs_nothing_and_shows_no_key(simulator, bucket, missing, capfd, monkeypatch):
    if missing == "c2pa":
        monkeypatch.setitem(sys.modules, "c2pa", None)
    elif missing == "KEY is another's":
        os.environ[f"{OPTION}KEY"] = certificate_and_key(days=2)[1].decode()
    else:
        del os.environ[OPTION + missing]
    asked = QwenImageGenerateOperator(
        task_id="t",
        prompt="a cup",
        model="qwen-image-plus",
        persist_to=f"s3://{bucket}/a/",
        provenance="label",
    )
    attempt = InMemoryAirflow().run(asked)
    assert isinstance(attempt.error, TransferError)
    assert (attempt.error.billing, simulator.state.posts) == ("no", 0)
    assert "Nothing was sent or billed" in str(attempt.error)
    shown = "".join(capfd.readouterr()) + str(attempt.error) + json.dumps(attempt.xcoms, default=str)
    assert "PRIVATE KEY" not in shown
    assert not any(line in shown for line in KEY.decode().splitlines() if line)


def test_nothing_of_the_key_is_logged_while_it_signs(files, transfer, certificate, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    attempt = transfer(files.images(1))
    shown = caplog.text + "".join(capfd.readouterr()) + json.dumps(attempt.xcoms, default=str)
    assert not any(line in shown for line in KEY.decode().splitlines() if line)
