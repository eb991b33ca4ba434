"""A pod with a read-only root: the folder that ``TMPDIR`` names is all a task of ours writes to."""

from __future__ import annotations

import json
import os
from pathlib import Path

TASK = """
import json, os, sys
sys.path[:0] = [{root!r}, {tests!r}]
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from harness import InMemoryAirflow

written = set()

def note(event, arguments):
    path = arguments[0] if arguments else None
    writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if isinstance(path, str) and (writes or event in ("os.mkdir", "os.rename", "os.link", "os.symlink")):
        written.add(path)

sys.addaudithook(note)
operator = QwenImageGenerateOperator(
    task_id="t", prompt="a mug", model="qwen-image-plus", persist_to={to!r}, aws_conn_id="aws_default"
)
ran = InMemoryAirflow().run_to_end(operator)
assert ran.state == "success", ran.error
print()
print(json.dumps(sorted(written - {{os.devnull}})))
"""


def test_a_task_writes_to_no_other_folder(
    simulator, qwenimage_connection, rclone_s3, in_subprocess, tmp_path
):
    simulator.state.settings.image_bytes = 6 * 1024 * 1024  # more than is held in memory
    qwenimage_connection()
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = rclone_s3.connection
    rclone_s3.client().create_bucket(Bucket="read-only-root")
    os.environ |= {"TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    tests = Path(__file__).parents[1]

    said = in_subprocess(
        TASK.format(root=str(tests.parent), tests=str(tests), to="s3://read-only-root/mugs/")
    )

    written = json.loads(said.splitlines()[-1])
    assert written
    assert [path for path in written if not Path(path).is_relative_to(tmp_path)] == []
    assert not list(tmp_path.iterdir())  # a file without a name: nothing is left, however the task ends
