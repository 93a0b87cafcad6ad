"""Take the README's picture of a report: python docs/images/take_picture.py outputs/<time>/report.html."""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parent / "report.png"


def take(report: Path) -> None:
    """Write the first screen of `report` to docs/images/report.png, in colours few enough to stay small."""
    from PIL import Image

    path = os.environ.get("HEADSTART_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 1010}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.screenshot(path=PICTURE)
        browser.close()
    Image.open(PICTURE).convert("RGB").quantize(255).save(PICTURE, optimize=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
