"""Marks of origin beside a third program: exiftool reads ours, and we read exiftool's."""

from __future__ import annotations

import json
import subprocess

import pytest

from airflow_provider_qwenimage.images.label import Label
from airflow_provider_qwenimage.images.origin import COMPOSITE, TRAINED
from images.marked import picture
from images.test_label import PICTURES, received, with_label


def exiftool(*arguments):
    ran = subprocess.run(["exiftool", *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture
def file(tmp_path):
    def written(whole, ext):
        path = tmp_path / f"image.{ext}"
        path.write_bytes(whole)
        return path

    return written


@pytest.mark.parametrize("name", PICTURES)
def test_a_label_is_read_and_nothing_else_in_the_file_is_complained_of(name, file):
    ext, whole = PICTURES[name]
    asked = ("-j", "-G1", "-a", "-validate", "-warning", "-error", "-XMP:all")
    (before,) = json.loads(exiftool(*asked, str(file(whole, ext))))
    labelled = with_label(whole, Label(tc260_producer="91330000MA00000000"))
    (told,) = json.loads(exiftool(*asked, str(file(labelled, ext))))
    assert told.pop("XMP-iptcExt:DigitalSourceType") == TRAINED
    assert json.loads(told.pop("XMP-TC260:Aigc"))["ContentProducer"] == "91330000MA00000000"
    assert {key: told[key] for key in told if key in before} == before


@pytest.mark.parametrize("ext", ["png", "jpg", "webp"])
def test_a_mark_that_exiftool_writes_is_read_and_kept(ext, file):
    path = file(picture(ext), ext)
    exiftool("-q", "-overwrite_original", f"-XMP-iptcExt:DigitalSourceType={COMPOSITE}", str(path))
    whole = path.read_bytes()
    assert received(whole).facts.marks.digital_source_type == COMPOSITE
    assert with_label(whole) == whole
