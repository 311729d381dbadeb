"""A real browser without a window, for the tests of pages: Debian's Chromium, driven by Selenium."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)


def missing() -> str:
    """What there is not of it here, and how to get it; empty where all is there."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "needs selenium (pip install 'cvbench[dev]')"
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"needs {' and '.join(lacking)} (apt-get install chromium chromium-driver)" if lacking else ""


def start(profile: Path) -> Any:
    """A driver of a new browser with an empty profile, which logs its console and all that it asks for."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


class Browser:
    """A page at a time. Each `open` starts from a light window of 1200 × 900 with script."""

    def __init__(self, driver: Any, folder: Path) -> None:
        self.driver, self.folder = driver, folder

    def open(self, page: str = "usual/index.html", *, width: int = 1200, dark: bool = False, media: str = "",
             script: bool = True) -> None:  # fmt: skip
        self.command("Emulation.setScriptExecutionDisabled", value=not script)
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.driver.get("about:blank")
        self.driver.get(f"{self.folder.as_uri()}/{page}")

    def command(self, name: str, **values: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, values)

    def run(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(f"return {script}", *values)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def focused(self) -> Any:
        return self.driver.switch_to.active_element

    def models(self, table: str = ".ranks") -> list[str]:
        return [
            cell.text for cell in self.one(table).find_elements("css selector", "th.model a") if cell.is_displayed()
        ]
