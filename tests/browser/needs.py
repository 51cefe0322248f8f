"""What these tests need beside requirements.txt: Debian's chromium, and playwright to drive it."""

import os
import shutil
from typing import NoReturn

import pytest

HOW = "to run the tests in a browser: apt-get install chromium; pip install -r requirements.txt playwright"


def missing(what: str) -> NoReturn:
    """Skip, and say why; but fail where all of it has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing; {HOW}")
    pytest.skip(f"{what} is missing; {HOW}", allow_module_level=True)


CHROMIUM = shutil.which("chromium") or missing("chromium")
try:
    from playwright.sync_api import Locator, Page, expect, sync_playwright
except ImportError:
    missing("playwright")

expect.set_options(timeout=20_000)  # milliseconds, for a machine that is busy

__all__ = ["CHROMIUM", "Locator", "Page", "expect", "missing", "sync_playwright"]
