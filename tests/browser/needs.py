"""What these tests need in addition to requirements.txt: Debian's chromium, playwright to control it, and axe."""

import os
import shutil
from typing import NoReturn

import pytest

PACKAGES = "playwright axe-playwright-python"
HOW = f"to run the browser tests: apt-get install chromium; pip install -r requirements.txt {PACKAGES}"


def missing(what: str) -> NoReturn:
    """Skip the tests and say why. In CI, where everything must be installed, fail instead."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing; {HOW}")
    pytest.skip(f"{what} is missing; {HOW}", allow_module_level=True)


CHROMIUM = shutil.which("chromium") or missing("chromium")
try:
    from playwright.sync_api import Locator, Page, expect, sync_playwright
except ImportError:
    missing("playwright")

expect.set_options(timeout=20_000)  # milliseconds; long, for a busy machine

__all__ = ["CHROMIUM", "Locator", "Page", "expect", "missing", "sync_playwright"]
