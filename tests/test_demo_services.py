"""The services of the demo, which the suite uses as well: real ones, stopped whatever happens."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request

import psutil
import pytest

from demo import gateway, stored
from demo.local_s3 import serving
from demo.processes import ServiceFailed, errors_in, finish, service


def is_running(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def talks(*lines):
    return (sys.executable, "-c", "\n".join(("import os, time", *lines)))


def test_an_object_put_over_http_is_a_plain_file(tmp_path):
    with serving(tmp_path / "buckets", log=tmp_path / "s3.log") as s3:
        s3.client().create_bucket(Bucket="bucket")
        s3.client().put_object(Bucket="bucket", Key="a/image.png", Body=b"bytes")
        assert (tmp_path / "buckets/bucket/a/image.png").read_bytes() == b"bytes"
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(f"{s3.url}/bucket/a/image.png", timeout=5)
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(s3.url, timeout=5)


def test_both_s3_servers_of_the_suite_keep_what_they_are_given(s3, bucket):
    s3.client().put_object(Bucket=bucket, Key="k", Body=b"bytes")
    assert s3.client().get_object(Bucket=bucket, Key="k")["Body"].read() == b"bytes"


def test_a_service_is_stopped_when_the_block_fails(tmp_path):
    command = talks("print('ready', os.getpid())", "time.sleep(60)")
    pids = []
    with (
        pytest.raises(ValueError, match="inside"),
        service(command, ready=r"ready (\d+)\n", log=tmp_path / "log") as ready,
    ):
        pids.append(int(ready[1]))
        assert is_running(pids[0])
        raise ValueError("inside")
    assert not is_running(pids[0])


def test_a_service_that_ignores_being_asked_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("demo.processes.PATIENCE", 0.1)
    stubborn = talks(
        "import signal",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "print('ready', os.getpid())",
        "time.sleep(60)",
    )
    with service(stubborn, ready=r"ready (\d+)\n", log=tmp_path / "log") as ready:
        pid = int(ready[1])
    assert not is_running(pid)


def test_what_a_service_has_started_ends_with_it_also_in_a_group_of_its_own(tmp_path):
    starts = talks(
        "import subprocess, sys",
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)",
        "print('ready', child.pid)",
        "time.sleep(60)",
    )
    with service(starts, ready=r"ready (\d+)\n", log=tmp_path / "log") as ready:
        pid = int(ready[1])
        assert is_running(pid)
    assert not is_running(pid)


def test_a_service_gets_no_more_than_it_is_given_where_that_is_all(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__PORT", "1")
    tells = talks("print('ready', os.environ.get('AIRFLOW__API__PORT'), os.environ['OWN'])", "time.sleep(60)")
    own = {"OWN": "yes"}
    with service(tells, ready=r"ready (.+)\n", log=tmp_path / "log", environ=own, inherit=False) as ready:
        assert ready[1] == "None yes"


def test_a_service_that_ends_early_says_where_its_log_is(tmp_path):
    with (
        pytest.raises(ServiceFailed, match="ended with code 3") as failed,
        service(talks("print('why')", "os._exit(3)"), ready="never", log=tmp_path / "log"),
    ):
        pass
    assert failed.value.log == tmp_path / "log"


def test_a_service_that_stays_silent_is_given_up(tmp_path):
    silent = talks("time.sleep(60)")
    with (
        pytest.raises(ServiceFailed, match="did not get ready"),
        service(silent, ready="never", log=tmp_path / "log", seconds=0.2),
    ):
        pass


def test_a_command_that_fails_is_an_error(tmp_path):
    with pytest.raises(ServiceFailed, match="code 2"):
        finish(talks("raise SystemExit(2)"), log=tmp_path / "log", environ=dict(os.environ))


def test_the_errors_of_the_provider_are_found_in_a_log_once_each(tmp_path):
    error = "airflow_provider_qwenimage.exceptions.GatewayUnreachable: No connection. Nothing was billed."
    (tmp_path / "log").write_text(f"Traceback\n{error}\nValueError: other\n{error}\n", encoding="utf-8")
    found = errors_in(tmp_path / "log", package="airflow_provider_qwenimage.exceptions")
    assert found == ["No connection. Nothing was billed."]


def test_the_environment_names_the_gateway_or_leaves_it_to_the_simulator():
    named = gateway.from_environment({"QWENIMAGE_API_KEY": "sk-1", "QWENIMAGE_GATEWAY": "onetoken"})
    assert named.billed
    assert json.loads(named.connection)["extra"] == {"gateway": "onetoken", "model": "qwen-image-plus"}
    assert "sk-1" not in repr(named)
    assert gateway.from_environment({"QWENIMAGE_API_KEY": ""}) is None


@pytest.mark.parametrize("name", ["QWENIMAGE_API_KEY", "QWENIMAGE_GATEWAY"])
def test_half_a_gateway_is_an_error_that_names_the_other_half(name):
    other = {"QWENIMAGE_API_KEY", "QWENIMAGE_GATEWAY"} - {name}
    with pytest.raises(gateway.HalfConfigured, match=f"^{other.pop()} is not set"):
        gateway.from_environment({name: "x"})


def test_a_file_that_is_not_what_the_manifest_says_is_found(tmp_path):
    image = {"uri": "s3://b/a.png", "sha256": "0" * 64, "content_type": "image/png", "prompt": "Mug, x"}
    (tmp_path / "manifest.json").write_text(json.dumps({"images": [image]}), encoding="utf-8")
    with pytest.raises(stored.NotWhatTheManifestSays, match=r"a\.png"):
        list(stored.read(tmp_path / "manifest.json", buckets=tmp_path))
