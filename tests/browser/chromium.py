"""Finds a Chromium for the browser tests; run as a script, installs one where none is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
OPTIONS = (
    # The tests may run as root, in a container, without a graphics card, and talk to nobody but their own server.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
)


def find() -> str | None:
    """Path of a Chromium: `$CHROMIUM`, else one that is installed, else Playwright's own."""
    chosen = os.environ.get("CHROMIUM")
    if chosen:
        return chosen
    installed = [path for path in (*(shutil.which(name) for name in NAMES), str(MAC)) if path and Path(path).exists()]
    return installed[0] if installed else _of_playwright()


def install() -> None:
    """Install Chromium by the machine's package manager, else by Playwright. Raises CalledProcessError."""
    if shutil.which("apt-get"):
        sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "--yes", "chromium", "fonts-dejavu-core"]):
            command = [*sudo, "apt-get", "--quiet=2", *arguments]
            subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=True)
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


def _of_playwright() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def main() -> int:
    if find() is None:
        print("Installing Chromium for the browser tests")
        install()
    if find() is None:
        print("No Chromium: install Chromium or Google Chrome, or set CHROMIUM to its path.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
