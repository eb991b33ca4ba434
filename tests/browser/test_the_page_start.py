"""The page *Start* is followed word for word, until its images are seen in the browser."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from demo.processes import service
from e2e.airflow_cluster import PATIENCE
from e2e.settings import free_port

PAGE = Path(__file__).parent.parent.parent / "docs" / "index.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
WIDTHS = "return [...document.querySelectorAll('#grid img')].map((image) => image.naturalWidth)"


class Step(NamedTuple):
    """A section of the page: what it tells, and its blocks in their order."""

    words: str
    blocks: list[tuple[str, str]]

    def bash(self) -> str:
        (text,) = [text for kind, text in self.blocks if kind == "bash"]
        return text


def steps() -> list[Step]:
    sections = re.split(r"^## \d\. ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [Step(BLOCK.sub("", text), BLOCK.findall(text)) for text in sections]


class Terminals:
    """
    Shells in one fresh folder, which is their home too, with nothing of this one's settings.

    :param airflow: the port of Airflow's pages.
    :ivar airflow: their address.
    """

    def __init__(self, folder: Path, *, airflow: int) -> None:
        self.airflow = f"http://localhost:{airflow}"
        self._folder = folder
        self._environ = {
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(airflow),
            "AIRFLOW__API__BASE_URL": self.airflow,
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",  # nobody else is called
        }

    def run(self, name: str, *commands: str, ready: str):
        """Type commands into a new terminal, the last of which stays while the block runs."""
        typed = "\n".join((f"cd {shlex.quote(str(self._folder))}", *commands))
        return service(
            ("bash", "-ec", typed),
            ready=ready,
            log=self._folder / f"{name}.log",
            environ=self._environ,
            inherit=False,
            seconds=PATIENCE,
        )

    def printed(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(encoding="utf-8")


@pytest.fixture
def window(programs):
    from browser.browser import Browser

    opened = Browser("", programs)
    try:
        yield opened
    finally:
        opened.close()


def save(folder, step):
    """Do what is told between the terminals: a folder, and a file that is named in its first line."""
    subprocess.run(["bash", "-ec", step.bash()], cwd=folder, check=True)
    (dag,) = [text for kind, text in step.blocks if kind == "python"]
    name = dag.partition("\n")[0].removeprefix("# ")
    assert f"`{name}`" in step.words
    (folder / name).write_text(dag, encoding="utf-8")


def sign_in(window, user, password):
    """Open Airflow, which says that it is ready before its pages answer, and fill in the form."""
    window.wait(lambda: window.open("") or window.driver.find_elements("name", "username"), "Airflow")
    window.type("username", user)
    window.type("password", password)
    window.click("button[type=submit]")


def widths(window):
    return window.driver.execute_script(WIDTHS)


def test_the_page_start_leads_to_images_in_the_browser(tmp_path, window, capsys):
    """
    Everything is the page's: its commands, its Dag, the names of what is pressed.

    Other than on the page, nothing is installed: ``venv`` is the environment that runs this, with the package in it.
    The ports are free ones of loopback, so that another Airflow on this machine is left alone.
    """
    install, gateway, write, start, *_ = steps()
    *_, user, dag_id = re.findall(r"`(\w+)`", start.words)
    ready, dags, trigger, again, success, images = re.findall(r"\*([^*]+)\*", start.words)
    activate = install.bash().splitlines()[0].partition(" && ")[2]
    (tmp_path / "venv").symlink_to(sys.prefix)
    terminals = Terminals(tmp_path, airflow=free_port())
    began = time.monotonic()

    serving = f"{gateway.bash().strip()} --port 0 --s3-port 0"
    with terminals.run("gateway", activate, serving, ready=r"(?m)^Ready: "):
        exports = [line for line in terminals.printed("gateway").splitlines() if line.startswith("export ")]
        save(tmp_path, write)
        said = rf"(?s)Password for user '{user}': (\S+).*{ready}"
        with terminals.run("airflow", *exports, start.bash(), ready=said) as password:
            window.url = terminals.airflow
            sign_in(window, user, password[1])
            window.click("a", text=dags)
            window.click("a", text=dag_id)
            window.click("button", text=trigger)
            window.click("[role=dialog] button", text=again)
            window.wait(lambda: "/runs/" in window.driver.current_url, "the run")
            window.see(success)
            window.click("a", text=images)
            with window.frame():
                window.wait(lambda: len(widths(window)) == 2 and all(widths(window)), "both images")
            took = time.monotonic() - began
    with capsys.disabled():
        sys.stdout.write(f"\nFrom the installed package to the first images: {took:.0f} s\n")
