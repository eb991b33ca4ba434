"""A headless Chromium, and what a person does with it: look, click, type; and take a picture in both themes."""

from __future__ import annotations

import io
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selenium.webdriver.remote.webelement import WebElement

PICTURES = Path(__file__).parent.parent.parent / "docs" / "images"
WANTED = bool(os.environ.get("PICTURES"))  # else a run leaves the documents as they are
PATIENCE = 60.0
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DRIVER = ("chromedriver",)
# It looks at this machine's pages and calls nobody else.
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
HOW_TO_INSTALL = "The browser suite needs Chromium and its driver: apt-get install chromium chromium-driver"
_MOVING = (
    "return document.getAnimations().filter((it) => it.effect.getTiming().iterations !== Infinity).length"
)
_AXE = """const done = arguments[0];
axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => done(violations
  .filter(({impact}) => ["serious", "critical"].includes(impact))
  .map(({id, nodes}) => ({id, nodes: nodes.map(({html}) => html.slice(0, 200))}))));"""
_COLORS = 160  # of a picture: enough for screens, at a third of the bytes
_FILM = (1020, 750)  # pixels of an animation
_STEP = 1200  # milliseconds


def installed() -> tuple[str, str] | None:
    """Return the programs, ``None`` where one of them is missing."""
    found = [next(filter(None, map(shutil.which, names)), None) for names in (CHROMIUM, DRIVER)]
    return (found[0], found[1]) if found[0] and found[1] else None


class Browser:
    """
    One window on one Airflow.

    :param url: the Airflow.
    """

    def __init__(self, url: str, programs: tuple[str, str]) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = programs[0]
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            *QUIET,
        ):
            options.add_argument(argument)
        options.add_argument("--window-size=1360,1000")
        options.add_argument("--hide-scrollbars")
        options.add_argument("--proxy-server=direct://")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs[1]))
        self.url = url
        self._steps: list[Any] = []

    def close(self) -> None:
        """End the browser and its driver."""
        self.driver.quit()

    def open(self, path: str) -> None:
        """Go to a page of Airflow."""
        self.driver.get(f"{self.url}/{path}")

    def wait(self, find: Callable[[], Any], what: str) -> Any:
        """Return what ``find`` finds, once it finds something."""
        waiting = WebDriverWait(
            self.driver, PATIENCE, 0.2, (StaleElementReferenceException, WebDriverException, IndexError)
        )
        try:
            return waiting.until(lambda _: find())
        except TimeoutException as error:
            raise TimeoutException(f"did not see {what}: {self.text()[-1500:]}") from error

    def text(self) -> str:
        """Return what can be read on the page."""
        return str(self.driver.execute_script("return document.body.innerText"))

    def see(self, words: str) -> None:
        """Wait until ``words`` can be read."""
        self.wait(lambda: words in self.text(), words)

    def find(self, selector: str, *, text: str = "") -> WebElement:
        """Return the first element that matches and is shown."""

        def look() -> WebElement | None:
            found = self.driver.find_elements(By.CSS_SELECTOR, selector)
            return next((e for e in found if text in (e.text or "") and e.is_displayed()), None)

        return self.wait(look, f"{selector} {text}")

    def click(self, selector: str, *, text: str = "") -> None:
        """Click the first element that matches, once it can be clicked."""

        def press() -> bool:
            element = self.find(selector, text=text)
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
            if not element.is_enabled():
                return False
            element.click()
            return True

        self.wait(press, f"{selector} {text} to click")

    def type(self, name: str, text: str) -> None:
        """Replace what a field of a form holds."""
        field = self.wait(lambda: self.driver.find_element(By.NAME, name), f"the field {name}")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(Keys.DELETE, text)

    def choose(self, label: str, option: str) -> None:
        """Pick an option of a select by typing it."""
        field = self.labelled(label)
        field.send_keys(option)
        self.find("[role=option]", text=option)
        field.send_keys(Keys.ENTER)

    def labelled(self, label: str) -> WebElement:
        """Return the field a label stands for."""

        def look() -> WebElement | None:
            labels = self.driver.find_elements(By.TAG_NAME, "label")
            found = next(e for e in labels if (e.text or "").rstrip(" *\n") == label)
            return self.driver.find_element(By.ID, found.get_attribute("for"))

        return self.wait(look, f"the field {label}")

    def toast(self) -> str:
        """Return what Airflow tells in the corner; the next page has none."""
        selector = "[data-scope=toast][data-part=description]"
        return str(self.wait(lambda: self.driver.find_element(By.CSS_SELECTOR, selector).text, "a message"))

    @contextmanager
    def frame(self) -> Iterator[None]:
        """Look into the page that lies in Airflow's page."""
        self.driver.switch_to.frame(self.find("iframe"))
        try:
            yield
        finally:
            self.driver.switch_to.default_content()

    def picture(self, name: str) -> None:
        """Show both themes, and keep what is seen where pictures are asked for; Airflow is told as another window would."""
        for theme in ("dark", "light"):
            self.driver.execute_script(
                "localStorage.setItem('theme', arguments[0]);"
                "dispatchEvent(new StorageEvent('storage', {key: 'theme', newValue: arguments[0]}))",
                theme,
            )
            self.wait(lambda theme=theme: self._theme() == theme, f"the {theme} theme")
            self.wait(lambda: not self.driver.execute_script(_MOVING), "nothing to move")
            if WANTED:
                PICTURES.mkdir(parents=True, exist_ok=True)
                self._seen().quantize(_COLORS).save(PICTURES / f"{name}-{theme}.png", optimize=True)

    def film(self) -> None:
        """Keep what is seen as a step of the animation, where pictures are asked for."""
        if WANTED:
            seen = self._seen()
            seen.thumbnail(_FILM)
            self._steps.append(seen.quantize(_COLORS))

    def show(self, name: str) -> None:
        """Make an animation of the steps."""
        if self._steps:
            first, *further = self._steps
            timing = {"duration": _STEP, "loop": 0}
            first.save(
                PICTURES / f"{name}.gif", save_all=True, append_images=further, optimize=True, **timing
            )
            self._steps = []

    def _seen(self) -> Any:
        from PIL import Image

        return Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")

    def _theme(self) -> str:
        return str(
            self.driver.execute_script("return document.documentElement.className.match(/dark|light/)?.[0]")
        )

    def barriers(self) -> list[str]:
        """Return what axe finds on the page or in the frame that shuts somebody out: serious and critical only."""
        from importlib.resources import files

        self.driver.execute_script((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
        found = self.driver.execute_async_script(_AXE)
        return [f"{each['id']}: {node}" for each in found for node in each["nodes"]]

    def complaints(self) -> list[str]:
        """Return what the browser's console says of our pages that is not good."""
        said = [
            str(entry["message"]) for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"
        ]
        return [line for line in said if "/qwenimage/" in line]
