"""Lighthouse's figures for the pages of a running trial.

``npm install lighthouse`` anywhere, then
``AIPLATFORM_PASSWORD=… python benchmarks/lighthouse.py --program node_modules/.bin/lighthouse http://127.0.0.1:8000 student home launch``.
It logs in with Debian's Chromium and lets Lighthouse look at each page in that browser, as a desktop and as a phone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess

from playwright.sync_api import sync_playwright

CATEGORIES = ("performance", "accessibility", "best-practices")
FORMS = {"desktop": ("--preset=desktop",), "phone": ()}


def main() -> None:
    """Print a row for each page and form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("address")
    parser.add_argument("user")
    parser.add_argument("pages", nargs="+")
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            "", executable_path=shutil.which("chromium"), args=["--no-sandbox", f"--remote-debugging-port={port}"]
        )
        page = browser.new_page()
        page.goto(f"{arguments.address}/hub/login")
        page.fill("#username_input", arguments.user)
        page.fill("#password_input", os.environ["AIPLATFORM_PASSWORD"])
        page.click("#login_submit")
        page.wait_for_url("**/services/platform/home")
        print("page", "form", *CATEGORIES, "load", sep=" | ")
        for name in arguments.pages:
            for form, options in FORMS.items():
                scores = audit(arguments.program, port, f"{arguments.address}/services/platform/{name}", options)
                print(name, form, *scores, f"{os.getloadavg()[0]:.1f}", sep=" | ", flush=True)
        browser.close()


def audit(program: str, port: int, address: str, options: tuple[str, ...]) -> list[str]:
    """Return a page's scores, of 100."""
    command = [program, address, f"--port={port}", "--quiet", "--output=json", "--disable-storage-reset", f"--only-categories={','.join(CATEGORIES)}", *options]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
    return [f"{report['categories'][name]['score'] * 100:.0f}" for name in CATEGORIES]


if __name__ == "__main__":
    main()
