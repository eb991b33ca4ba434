"""A set of images under one prefix, on a server that honours conditional writes and on one that does not."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from base64 import b64decode, b64encode
from datetime import UTC, datetime

import pytest
from botocore.awsrequest import AWSResponse

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError, TransferIncomplete
from airflow_provider_qwenimage.images.checked import receive_bytes
from airflow_provider_qwenimage.images.download import Downloads, Limits
from airflow_provider_qwenimage.models.manifest import Manifest, Origin
from airflow_provider_qwenimage.models.options import StoreOptions
from airflow_provider_qwenimage.models.results import GeneratedImage
from airflow_provider_qwenimage.storage.prefix import Bucket
from airflow_provider_qwenimage.storage.s3 import S3
from airflow_provider_qwenimage.storage.sources import read_sources
from airflow_provider_qwenimage.storage.store import ImageStore
from store.file_server import Answer, png

MANIFEST, PARTIAL = "manifest.json", "manifest.partial.json"


def sha(body):
    return hashlib.sha256(body).hexdigest()


def key(index, body, ext="png"):
    return f"{index:03d}-{sha(body)[:8]}.{ext}"


def keys(*seeds):
    return [key(index, png(seed)) for index, seed in enumerate(seeds)]


def manifest(objects):
    return Manifest.load(objects.read(MANIFEST))


def check_complete(objects, count):
    """The manifest lists ``count`` images, each as it lies there, and nothing else lies there."""
    listed = manifest(objects).images
    assert [image.index for image in listed] == list(range(count))
    for image in listed:
        body = objects.read(image.uri.rpartition("/")[2])
        assert (sha(body), len(body)) == (image.sha256, image.bytes)
    assert objects.names() == sorted({image.uri.rpartition("/")[2] for image in listed} | {MANIFEST})


def test_bytes_are_stored_unaltered_and_described(files, keep, objects, prefix):
    outcome = keep([{"url": url, "model": "m", "seed": 7} for url in files.images(3)])
    assert outcome.uris == [prefix + name for name in keys(0, 1, 2)]
    assert outcome.manifest == f"{prefix}{MANIFEST}"
    for index, name in enumerate(keys(0, 1, 2)):
        stored = objects.get(name)
        assert stored["Body"].read() == png(index)
        assert stored["ContentType"] == "image/png"
        assert {k.lower(): v for k, v in stored["Metadata"].items()} == {"sha256": sha(png(index))}
    first = json.loads(objects.read(MANIFEST))["images"][0]
    assert first == outcome.stored[0]
    assert (first["url"], first["model"], first["seed"]) == (f"{files.url}/0.png", "m", 7)
    assert (first["width"], first["height"], first["bytes"]) == (37, 23, len(png(0)))
    check_complete(objects, 3)


def test_the_checksum_of_the_bytes_goes_with_them(prefix, objects):
    s3, sent = S3(), []
    s3.client.meta.events.register(
        "before-send.s3.PutObject", lambda request, **_: sent.append(request.headers)
    )
    Bucket(prefix, s3).put("a.png", png(1), content_type="image/png", sha256=sha(png(1)))
    stated = b64decode(sent[0]["x-amz-checksum-sha256"])
    assert stated == hashlib.sha256(png(1)).digest()
    assert objects.read("a.png") == png(1)


def test_a_small_image_is_sent_at_once_and_a_large_one_once_the_server_is_ready(prefix, objects):
    s3, asked = S3(), []
    note = lambda request, **_: asked.append("Expect" in request.headers)  # noqa: E731
    s3.client.meta.events.register("before-send.s3.PutObject", note)
    large = png(1, width=1500, height=1200)
    for body in (png(1), large):
        with receive_bytes(body, max_bytes=10**8) as image:
            Bucket(prefix, s3).put("a.png", image.body, content_type="image/png", sha256=image.sha256)
    assert asked == [False, True]
    assert objects.read("a.png") == large


def test_the_origin_is_on_record(files, keep, objects):
    keep(files.images(1), origin=Origin(dag_id="d", run_id="r", task_id="t", map_index=4))
    found = manifest(objects)
    assert (found.dag_id, found.run_id, found.task_id, found.map_index) == ("d", "r", "t", 4)


def test_inline_bytes_data_urls_and_links_are_one_set(files, keep, objects):
    inline = GeneratedImage(
        url=None,
        index=0,
        gateway="g",
        model="m",
        prompt="p",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        data=png(5),
    )
    data_url = f"data:image/png;base64,{b64encode(png(6)).decode()}"
    keep([inline, data_url, *files.images(1)])
    assert [image.sha256 for image in manifest(objects).images] == [sha(png(5)), sha(png(6)), sha(png(0))]
    check_complete(objects, 3)


def test_one_link_twice_is_two_objects_and_with_one_name_one(files, keep, objects):
    url = files.images(1)[0]
    keep([url, url])
    check_complete(objects, 2)
    assert len(objects.names()) == 3


@pytest.mark.parametrize("rule", ["skip", "replace", "fail"])
def test_images_of_one_name_and_content_are_written_once(files, keep, objects, rule):
    outcome = keep([files.images(1)[0]] * 5, filename="{sha8}.{ext}", if_exists=rule)
    assert len(set(outcome.uris)) == 1
    assert [image["index"] for image in outcome.stored] == [0, 1, 2, 3, 4]
    assert len(objects.names()) == 2


def test_extra_arguments_reach_every_object_and_keep_our_metadata(files, keep, objects, moto_s3, s3):
    keep(
        files.images(1),
        extra_args={"CacheControl": "max-age=9", "Metadata": {"campaign": "x"}, "ContentType": "a/b"},
    )
    stored = objects.get(keys(0)[0])
    metadata = {name.lower(): value for name, value in stored["Metadata"].items()}
    assert metadata == {"sha256": sha(png(0)), "campaign": "x"}
    assert stored["ContentType"] == "image/png"
    if s3 is moto_s3:  # rclone keeps no cache control
        assert stored["CacheControl"] == "max-age=9"


@pytest.mark.parametrize("extra", [{"Acl": "private"}, {"ChecksumSHA256": "x"}, {"Body": b""}])
def test_arguments_s3_does_not_take_are_refused_before_any_download(files, keep, extra):
    with pytest.raises(InvalidRequest) as caught:
        keep(files.images(1), extra_args=extra)
    assert caught.value.field == "extra_args"
    assert files.seen == []


@pytest.mark.parametrize("value", ["bucket/path", "https://b/p", "s3://", "s3:///p", "s3://b^/p"])
def test_what_is_no_prefix_is_refused(s3, value):
    with pytest.raises(InvalidRequest) as caught:
        ImageStore(StoreOptions(s3_prefix=value))
    assert caught.value.field == "s3_prefix"


def test_a_prefix_without_its_slash_is_a_folder(files, s3, bucket, prefix, objects):
    options = StoreOptions(s3_prefix=prefix.rstrip("/"), allow_private_hosts=True)
    with ImageStore(options) as store:
        store.store_all(read_sources(files.images(1)))
    check_complete(objects, 1)


def test_a_bucket_that_is_not_there_is_named(files, s3):
    with pytest.raises(TransferError, match=r"S3 did not list s3://no-such-bucket/p/: NoSuchBucket"):
        ImageStore(StoreOptions(s3_prefix="s3://no-such-bucket/p"))


def test_names_that_collide_are_refused_before_any_download(files, keep):
    with pytest.raises(InvalidRequest, match="same name"):
        keep(files.images(2), filename="hero.{ext}")
    assert files.seen == []


def test_what_fails_does_not_stop_the_others_and_leaves_no_manifest(files, keep, objects):
    urls = files.images(3)
    urls[1] = files.put("/gone.png", Answer(status=404), query="?Expires=1600000000&Signature=topsecret")
    outcome = keep(urls)
    assert [image.index for image in outcome.images] == [0, 2]
    assert outcome.manifest is None
    assert objects.names() == sorted([key(0, png(0)), key(2, png(2)), PARTIAL])
    with pytest.raises(TransferIncomplete, match=r"1 of 3 images .* #1: .*expired \d+ d") as caught:
        outcome.raise_if_incomplete()
    assert caught.value.failures[0]["index"] == 1
    assert (
        "topsecret"
        not in str(caught.value) + json.dumps(caught.value.failures) + objects.read(PARTIAL).decode()
    )


def test_partial_sets_are_told_in_the_manifest(files, keep, objects):
    outcome = keep([*files.images(1), files.put("/x.png", b"<html>")], on_error="partial")
    outcome.raise_if_incomplete()
    found = manifest(objects)
    assert [image.index for image in found.images] == [0]
    assert [failure.index for failure in found.failures] == [1]
    assert "an HTML page" in found.failures[0].reason


def test_a_partial_set_without_any_image_is_a_failure(files, keep, objects):
    outcome = keep([files.put("/x.png", b"<html>")], on_error="partial")
    with pytest.raises(TransferIncomplete):
        outcome.raise_if_incomplete()
    assert objects.names() == []


def test_a_retry_after_a_failure_fetches_only_what_is_missing(files, keep, objects):
    urls = [*files.images(2), files.put("/2.png", Answer(status=404))]
    keep(urls)
    before = len(files.seen)
    files.put("/0.png", Answer(status=403))  # these links have died since
    files.put("/1.png", Answer(status=403))
    files.put("/2.png", png(2))
    keep(urls).raise_if_incomplete()
    assert [seen.path for seen in files.seen[before:]] == ["/2.png"]
    check_complete(objects, 3)


def test_a_second_run_fetches_nothing_even_when_every_link_has_died(files, keep, objects):
    urls = files.images(3)
    first = keep(urls)
    for number in range(3):
        files.put(f"/{number}.png", Answer(status=403))
    resigned = [f"{files.url}/{number}.png?Expires=1600000000&Signature=other" for number in range(3)]
    again = keep(resigned)
    assert again.stored == first.stored
    assert len(files.seen) == 3
    check_complete(objects, 3)


def test_images_in_another_order_are_copied_and_not_fetched(files, keep, objects):
    urls = files.images(2)
    keep(urls)
    outcome = keep(list(reversed(urls)))
    assert len(files.seen) == 2
    assert [image.sha256 for image in outcome.images] == [sha(png(1)), sha(png(0))]
    assert [uri.rpartition("/")[2] for uri in outcome.uris] == keys(1, 0)
    assert all(objects.read(uri.rpartition("/")[2]) == png(1 - n) for n, uri in enumerate(outcome.uris))


def test_an_object_that_has_gone_is_fetched_again(files, keep, objects):
    urls = files.images(2)
    keep(urls)
    objects.delete(keys(0)[0])
    keep(urls)
    assert [seen.path.partition("?")[0] for seen in files.seen[2:]] == ["/0.png"]
    check_complete(objects, 2)


def test_links_that_differ_in_their_query_alone_are_different_images(files, keep, objects):
    first = files.put("/view", png(1), query="?filename=a")
    keep([first])
    second = files.put("/view", png(2), query="?filename=b")
    outcome = keep([second])
    assert outcome.images[0].sha256 == sha(png(2))


def test_skip_leaves_an_object_of_that_name_as_it_is_and_records_what_it_holds(files, keep, objects):
    objects.put("hero.png", png(9))
    outcome = keep(files.images(1), filename="hero.{ext}")
    assert objects.read("hero.png") == png(9)
    assert outcome.images[0].sha256 == sha(png(9))
    check_complete(objects, 1)


def test_skip_does_not_take_an_object_for_an_image_that_is_none(files, keep, objects):
    objects.put("hero.png", b"{}")
    outcome = keep(files.images(1), filename="hero.{ext}")
    assert outcome.failures[0].reason.count("JSON") == 1
    assert objects.read("hero.png") == b"{}"


def test_skip_writes_an_object_again_that_was_cut_short(files, keep, objects):
    objects.put(keys(0)[0], png(0)[:100])
    keep(files.images(1))
    check_complete(objects, 1)


def test_replace_writes_what_is_there_anew(files, keep, objects):
    objects.put("hero.png", png(9))
    keep(files.images(1), filename="hero.{ext}", if_exists="replace")
    assert objects.read("hero.png") == png(0)
    keep([files.put("/0.png", png(3))], filename="hero.{ext}", if_exists="replace")
    assert objects.read("hero.png") == png(3)
    check_complete(objects, 1)


def test_fail_leaves_what_is_there_and_says_so(files, keep, objects):
    objects.put("hero.png", png(9))
    outcome = keep(files.images(1), filename="hero.{ext}", if_exists="fail")
    with pytest.raises(TransferIncomplete, match=r"hero\.png exists, and if_exists is 'fail'"):
        outcome.raise_if_incomplete()
    assert objects.names() == ["hero.png"]
    assert objects.read("hero.png") == png(9)


def test_fail_refuses_a_prefix_that_holds_a_set_before_any_download(files, keep):
    keep(files.images(1), if_exists="fail").raise_if_incomplete()
    with pytest.raises(TransferError, match=r"manifest\.json exists"):
        keep(files.images(2), if_exists="fail")
    assert len(files.seen) == 1


def racing(files, objects, body):
    """Serve an image and let another writer take its name between the listing and the write."""

    class Racing(Downloads):
        def fetch(self, url, **options):
            objects.put("hero.png", body)
            return super().fetch(url, **options)

    return Racing(limits=Limits(allow_private_hosts=True))


@pytest.mark.parametrize("rule", ["skip", "fail"])
def test_a_name_taken_meanwhile_is_left_alone_where_the_server_honours_the_condition(
    files, objects, prefix, request, rule
):
    options = StoreOptions(s3_prefix=prefix, filename="hero.{ext}", if_exists=rule)
    with ImageStore(options, downloads=racing(files, objects, png(9))) as store:
        outcome = store.store_all(read_sources(files.images(1)))
    if "moto_s3" not in request.node.name:  # rclone knows no condition: one listing is all there is
        assert objects.read("hero.png") == png(0)
    elif rule == "fail":
        assert "exists" in outcome.failures[0].reason
        assert objects.read("hero.png") == png(9)
    else:
        assert outcome.images[0].sha256 == sha(objects.read("hero.png")) == sha(png(9))


@pytest.mark.parametrize("rule", ["skip", "fail"])
def test_a_write_whose_answer_was_lost_is_no_conflict(files, objects, prefix, rule):
    options = StoreOptions(s3_prefix=prefix, filename="hero.{ext}", if_exists=rule)
    with ImageStore(options, downloads=racing(files, objects, png(0))) as store:
        outcome = store.store_all(read_sources(files.images(1)))
    outcome.raise_if_incomplete()
    check_complete(objects, 1)


def test_a_foreign_manifest_is_not_overwritten(files, keep, objects):
    objects.put(MANIFEST, b'{"name": "My app"}')
    with pytest.raises(InvalidRequest, match="not a manifest of this provider") as caught:
        keep(files.images(1))
    assert caught.value.field == "s3_prefix"
    assert files.seen == []
    keep(files.images(1), if_exists="replace").raise_if_incomplete()
    check_complete(objects, 1)


class Killed(BaseException):
    """What Airflow raises in a task that must end at once."""


class KilledAfter(Downloads):
    """Downloads that are ended by a kill after ``count`` images."""

    def __init__(self, count, **options):
        super().__init__(**options)
        self.left = count
        self.guard = threading.Lock()

    def fetch(self, url, **options):
        with self.guard:
            self.left -= 1
            if self.left < 0:
                raise Killed
        return super().fetch(url, **options)


@pytest.mark.parametrize("rule", ["skip", "replace"])
def test_a_run_that_is_killed_in_the_middle_is_completed_by_the_next(files, keep, objects, prefix, rule):
    urls = files.images(8)
    options = StoreOptions(s3_prefix=prefix, if_exists=rule, max_concurrency=2)
    downloads = KilledAfter(5, limits=Limits(allow_private_hosts=True))
    with pytest.raises(Killed), ImageStore(options, downloads=downloads) as store:
        store.store_all(read_sources(urls))
    assert MANIFEST not in objects.names()
    assert 0 < len(objects.names()) < 8
    keep(urls, if_exists=rule).raise_if_incomplete()
    check_complete(objects, 8)


@pytest.mark.parametrize("rule", ["skip", "replace"])
def test_an_old_manifest_does_not_vouch_for_a_set_that_is_being_written(files, keep, objects, prefix, rule):
    keep(files.images(2))
    options = StoreOptions(s3_prefix=prefix, if_exists=rule, max_concurrency=1)
    downloads = KilledAfter(1, limits=Limits(allow_private_hosts=True))
    with pytest.raises(Killed), ImageStore(options, downloads=downloads) as store:
        store.store_all(read_sources(files.images(2, first=2)))
    assert MANIFEST not in objects.names()
    for number in range(2):
        files.put(f"/{number}.png", Answer(status=403))
    again = keep([f"{files.url}/{number}.png" for number in range(4)])
    # What the old manifest knew survives the kill, unless its objects were up for replacement.
    assert len(again.images) == (4 if rule == "skip" else 2)


def test_a_run_that_writes_nothing_leaves_the_promise_of_the_last_one(files, keep, objects):
    keep(files.images(2))
    before = objects.read(MANIFEST)
    outcome = keep([files.put("/x.png", Answer(status=404))], if_exists="replace")
    assert outcome.manifest is None
    assert objects.read(MANIFEST) == before


def test_two_runs_at_once_end_in_one_complete_set(files, keep, objects):
    urls = files.images(6)
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(keep(urls))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outcome in outcomes:
        outcome.raise_if_incomplete()
    assert outcomes[0].uris == outcomes[1].uris
    check_complete(objects, 6)


@pytest.mark.parametrize("known", [True, False], ids=["checksum on record", "checksum unknown"])
def test_an_image_in_s3_is_copied_on_the_server(keep, objects, prefix, s3, known):
    metadata = {"sha256": sha(png(1))} if known else {}
    source = f"{prefix}inbox/a.png"
    objects.put("inbox/a.png", png(1), Metadata=metadata, ContentType="binary/octet-stream")
    outcome = keep([{"url": source, "model": "m"}], extra_args={"Metadata": {"campaign": "x"}})
    outcome.raise_if_incomplete()
    stored = objects.get(keys(1)[0])
    assert stored["Body"].read() == png(1)
    assert stored["ContentType"] == "image/png"
    metadata = {name.lower(): value for name, value in stored["Metadata"].items()}
    assert (metadata["sha256"], metadata["campaign"]) == (sha(png(1)), "x")  # rclone adds mtime
    assert (outcome.images[0].url, outcome.images[0].width, outcome.images[0].model) == (source, 37, "m")


def test_what_lies_where_it_belongs_is_not_copied(files, keep, objects):
    first = keep(files.images(2))
    for rule in ("skip", "replace"):
        again = keep(first.stored, if_exists=rule)
        assert again.stored == first.stored
    check_complete(objects, 2)


def test_an_object_in_s3_that_is_no_image_is_refused(keep, objects, prefix):
    objects.put("inbox/a.png", b"<html></html>")
    objects.put("inbox/b.png", png(1)[:-5])
    outcome = keep([f"{prefix}inbox/a.png", f"{prefix}inbox/b.png", f"{prefix}inbox/none.png"])
    reasons = [failure.reason for failure in outcome.failures]
    assert "an HTML page" in reasons[0]
    assert "truncated" in reasons[1]
    assert "NoSuchKey" in reasons[2]


def test_an_object_in_s3_above_the_cap_is_refused(keep, objects, prefix):
    objects.put("inbox/a.png", png(1))
    outcome = keep([f"{prefix}inbox/a.png"], max_image_bytes=len(png(1)) - 1)
    assert "max_image_bytes" in outcome.failures[0].reason


def test_names_with_folders_are_found_again(files, keep, objects):
    template = "{model}/{index}-{sha8}.{ext}"
    images = [{"url": url, "model": "a/b"} for url in files.images(2)]
    keep(images, filename=template)
    keep(images, filename=template)
    assert len(files.seen) == 2
    assert objects.names() == sorted([f"a-b/{n}-{sha(png(n))[:8]}.png" for n in range(2)] + [MANIFEST])


def test_the_manifest_of_a_mapped_sibling_is_warned_of(files, keep, caplog):
    task = {"dag_id": "d", "run_id": "r", "task_id": "t"}
    keep(files.images(1), origin=Origin(**task, map_index=0))
    with caplog.at_level(logging.WARNING):
        keep(files.images(1), origin=Origin(**task, map_index=1))
    assert "map index 0" in caplog.text


def test_two_info_lines_tell_of_a_set(files, keep, caplog):
    with caplog.at_level(logging.INFO, logger="airflow_provider_qwenimage"):
        keep(files.images(5))
    said = [record for record in caplog.records if record.name.startswith("airflow_provider_qwenimage")]
    assert len(said) == 2


def test_images_can_be_stored_one_by_one_as_they_arrive(files, objects, prefix):
    sources = read_sources(files.images(3))
    options = StoreOptions(s3_prefix=prefix, allow_private_hosts=True)
    with ImageStore(options) as store:
        stored = [store.store_one(sources[index], index=index) for index in (2, 0, 1)]
        assert MANIFEST not in objects.names()
        store.finish(sorted(stored, key=lambda image: image.index))
    check_complete(objects, 3)


def test_the_connection_s_own_botocore_options_hold_and_the_pool_is_large_enough(s3, bucket, monkeypatch):
    connection = json.loads(s3.connection)
    connection["extra"]["config_kwargs"] = {
        "retries": {"max_attempts": 7},
        "s3": {"addressing_style": "path"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AWS_OTHER", json.dumps(connection))
    config = S3("aws_other", max_connections=40).client.meta.config
    assert config.max_pool_connections == 40
    assert config.retries["total_max_attempts"] == 8 or config.retries["max_attempts"] == 7
    assert config.s3["addressing_style"] == "path"
    connection["extra"]["config_kwargs"] = {"max_pool_connections": 99}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_OTHER", json.dumps(connection))
    config = S3("aws_other", max_connections=40).client.meta.config
    assert config.max_pool_connections == 99


@pytest.mark.parametrize(
    ("chosen", "signed"), [({}, "X-Amz-Algorithm=AWS4"), ({"signature_version": "s3"}, "AWSAccessKeyId=")]
)
def test_a_link_has_a_version_4_signature_unless_the_connection_chose_another(
    s3, bucket, monkeypatch, chosen, signed
):
    connection = json.loads(s3.connection)
    connection["extra"]["config_kwargs"] = {"s3": {"addressing_style": "path"}, **chosen}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_OTHER", json.dumps(connection))
    with S3("aws_other") as opened:
        assert signed in opened.link(f"s3://{bucket}/a.png")


def test_an_express_bucket_still_gets_its_session(monkeypatch):
    fields = {"conn_type": "aws", "login": "access", "password": "secret-secret"}
    extra = {"region_name": "us-east-1", "config_kwargs": {"retries": {"max_attempts": 0}}}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_OTHER", json.dumps({**fields, "extra": extra}))
    asked = []

    class Nothing:
        def stream(self, *_, **__):
            return iter(())

    def refuse(request, **_):
        asked.append(request.url)
        return AWSResponse(request.url, 403, {}, Nothing())

    with S3("aws_other") as opened:
        opened.client.meta.events.register("before-send.s3", refuse)
        with pytest.raises(TransferError) as caught:
            opened.open("s3://photos--use1-az4--x-s3/a.png")
    assert caught.value.status == 403
    assert [url.rpartition("/")[2] for url in asked] == ["?session"]


def test_a_closed_client_is_made_anew_and_one_never_used_is_not_made(moto_s3, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_AWS_OTHER", moto_s3.connection)
    s3 = S3("aws_other")
    s3.close()
    first = s3.client
    assert s3.client is first
    s3.close()
    assert s3.client is not first
    s3.close()
