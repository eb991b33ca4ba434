"""What was written is read as it was; what was spoilt since is read right or refused; and what is paid stays known."""

from __future__ import annotations

import json
import time
import uuid
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_qwenimage.batch import segments
from airflow_provider_qwenimage.batch.entries import Entry, Header
from airflow_provider_qwenimage.batch.segments import Segments, line_of
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.manifest import Manifest
from airflow_provider_qwenimage.plugins import listing
from airflow_provider_qwenimage.plugins.listing import NotAManifest, scan
from airflow_provider_qwenimage.storage.prefix import Bucket
from airflow_provider_qwenimage.storage.s3 import S3
from fuzz.record_structures import entries, manifests, spoilt
from fuzz.test_replies import check_shown

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
HEADER = Header(requests=("a", "b"))
MOST_SECONDS = 2


class Died(BaseException):
    """The process ended here."""


class MortalBucket(Bucket):
    """
    A bucket whose process dies at one of its writes.

    :ivar left: writes it still lives for; ``None`` for ever.
    :ivar after: whether the last write arrives.
    """

    left: int | None = None
    after = False

    def put(self, *given, **options):
        return self._at(super().put, *given, **options)

    def delete(self, *given):
        return self._at(super().delete, *given)

    def _at(self, write, *given, **options):
        if self.left is None:
            return write(*given, **options)
        self.left -= 1
        if self.left >= 0:
            return write(*given, **options)
        if self.after:
            write(*given, **options)
        raise Died


@pytest.fixture(scope="module")
def journal(moto_s3):
    """Make an empty folder of a journal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", moto_s3.connection)
        patch.setattr(segments, "_MERGED", 3)
        moto_s3.client().create_bucket(Bucket="fuzzed")
        with S3("aws_default") as s3:
            s3.client  # noqa: B018 - made while the connection is there
            yield lambda: MortalBucket(f"s3://fuzzed/{uuid.uuid4().hex}/journal/", s3)


def refused(read):
    """Return what is read or the error that says why not; anything else that is raised fails the test."""
    try:
        return read()
    except InvalidRequest as error:
        check_shown(str(error))
        return error


def last(groups):
    """What counts: the last entry of each request."""
    return {entry.position: entry for group in groups for entry in group}


def again(bucket):
    opened = Segments(bucket)
    opened.header()
    return opened.entries()


def as_read(entry):
    """An entry as it is after it was written; moments lose what is below a second."""
    return Entry.model_validate_json(line_of(entry))


@given(
    groups=st.lists(st.lists(entries, min_size=1, max_size=4), max_size=9),
    dies=st.integers(0, 14),
    after=st.booleans(),
    tidied=st.booleans(),
)
@settings(max_examples=settings().max_examples // 4)
def test_a_journal_knows_what_was_written_wherever_its_process_died(journal, groups, dies, after, tidied):
    bucket = journal()
    opened = Segments(bucket)
    opened.begin(HEADER)
    bucket.left, bucket.after = dies, after
    written, tried = [], []
    try:
        for group in groups:
            tried = [*written, group]
            opened.append([line_of(entry) for entry in group])
            written = tried
        if tidied:
            opened.replace(last(written).values())
    except Died:
        pass
    bucket.left = None

    found = again(bucket)

    known = {place: as_read(entry) for place, entry in last(written).items()}
    maybe = {place: as_read(entry) for place, entry in last(tried).items()}
    assert found in (known, maybe)


@given(group=st.lists(entries, min_size=1, max_size=4), drawn=st.data())
@settings(max_examples=settings().max_examples // 4)
def test_a_spoilt_journal_is_refused_or_read_and_never_taken_for_none(journal, group, drawn):
    bucket = journal()
    Segments(bucket).begin(HEADER)
    whole = b"".join(line_of(entry) for entry in group)
    text = drawn.draw(spoilt(st.just(whole)))
    bucket.put("00000001.jsonl", text, content_type="application/x-ndjson", sha256=sha256(text).hexdigest())
    found = refused(lambda: again(bucket))
    if isinstance(found, InvalidRequest):
        assert (found.field, found.billing) == ("persist_to", "no")
    else:
        assert found or not text.split()


@given(text=spoilt(st.just(HEADER.model_dump_json().encode())))
def test_a_spoilt_header_is_refused_or_read(journal, text):
    bucket = journal()
    bucket.put("batch.json", text, content_type="application/json", sha256=sha256(text).hexdigest())
    found = refused(Segments(bucket).header)
    assert isinstance(found, Header) or "is no journal this version reads" in found.rule


def pieces(text, cuts):
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in pairwise(places)]


@given(manifest=manifests, cuts=st.lists(st.integers(0, 1 << 20), max_size=6), per_page=st.integers(1, 5))
def test_a_manifest_is_read_as_it_was_written_in_whatever_pieces_it_comes(manifest, cuts, per_page):
    text = manifest.dump()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "PAGE", per_page)
        found = scan(iter(pieces(text, cuts)))

    assert Manifest.load(text).images == manifest.images
    assert found.owner == (manifest.dag_id, manifest.run_id, manifest.task_id, manifest.map_index)
    assert {image.uri: found.digests.get(image.uri) for image in manifest.images} == {
        image.uri: image.sha256 for image in manifest.images
    }
    paged = []
    for start, end in pairwise(found.starts):
        paged += json.loads(b"[" + text[start:end].rstrip(b", \t\r\n") + b"]")
    assert [image["uri"] for image in paged] == [image.uri for image in manifest.images]
    check_shown(text.decode())


@given(text=spoilt(manifests.map(Manifest.dump)), cuts=st.lists(st.integers(0, 1 << 20), max_size=6))
def test_a_spoilt_manifest_is_refused_or_lists_what_json_says(text, cuts):
    begun = time.thread_time()
    try:
        found = scan(iter(pieces(text, cuts)))
    except NotAManifest:
        found = None
    try:
        loaded = Manifest.load(text)
    except InvalidRequest as error:
        check_shown(str(error))
        loaded = None
    assert time.thread_time() - begun < MOST_SECONDS
    if found is not None:
        images = json.loads(text)["images"]
        assert {found.digests.get(image["uri"]) for image in images} == {image["sha256"] for image in images}
    if loaded is not None and found is not None:
        assert len(found.digests) == len({image.uri for image in loaded.images})
