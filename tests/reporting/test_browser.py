"""The page in Chromium: silent, self-contained, not wider than a phone, and hostile texts stay texts."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import builders
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from test_files import HOSTILE, hostile_records

from headstart.components.reporting.report import write_report, write_side_by_side

pytestmark = pytest.mark.browser

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 375, "height": 812}
# Elements that reach beyond the page, except inside a box that scrolls by itself.
TOO_WIDE = """() => [...document.querySelectorAll('body *')].filter(element => {
    const box = element.getBoundingClientRect();
    return box.right > document.documentElement.clientWidth + 0.5 && !element.closest('.scroll');
}).map(element => element.tagName + '.' + element.getAttribute('class'))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = os.environ.get("HEADSTART_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: HEADSTART_CHROMIUM names none and none is on the PATH")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield opened
        opened.close()


class Watched:
    """A page of which every console message, error and request is kept."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", lambda dialog: (self.said.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: Path) -> None:
        self.page.goto(path.as_uri())
        assert self.said == []
        # The file itself and pictures that are in it; nothing else is asked for.
        assert [url for url in self.asked if not url.startswith("data:image/png")] == [path.as_uri()]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    write_report(
        builders.experiment(), folder / "sound", settings={"command": "headstart run " + "--option value " * 40}
    )
    write_report(hostile_records(), folder / "hostile", settings={"command": HOSTILE * 9, "price_per_hour": 2.5})
    write_report([], folder / "empty")
    write_side_by_side(
        {"a rather long name of a machine " * 4: builders.experiment(5), HOSTILE: hostile_records()}, folder / "several"
    )
    return {path.parent.name: path for path in folder.glob("*/report.html")}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["sound", "hostile", "empty", "several"])
def test_page_is_silent_asks_for_nothing_and_fits_a_phone(
    browser: Browser, pages: dict[str, Path], name: str, scheme: str
) -> None:
    page = browser.new_page(viewport=PHONE, color_scheme=scheme)  # type: ignore[arg-type]
    watched = Watched(page)
    watched.open(pages[name])
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate(TOO_WIDE) == []
    assert page.locator("script").count() == 0
    page.close()


def test_the_style_sheet_is_let_through_and_follows_the_colour_scheme(browser: Browser, pages: dict[str, Path]) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(pages["sound"].as_uri())
        colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.close()
    assert colours == ["rgb(252, 252, 250)", "rgb(21, 23, 26)"]


def test_a_class_called_script_shows_as_text(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    watched = Watched(page)
    watched.open(pages["hostile"])
    assert page.get_by_text(HOSTILE, exact=False).count() > 3
    assert page.locator(".samples").get_by_text(HOSTILE).first.is_visible()
    page.close()


def test_nothing_injected_into_the_page_may_run_or_load(browser: Browser, pages: dict[str, Path]) -> None:
    # Were some text ever to slip through unescaped, the page's own policy still stops it.
    page = browser.new_page()
    watched = Watched(page)
    watched.open(pages["sound"])
    page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'document.title = "ran"';
            document.body.append(script);
            const image = document.createElement('img');
            image.src = 'http://127.0.0.1:9/x.png';
            document.body.append(image);
        }"""
    )
    page.wait_for_timeout(200)
    assert page.title() != "ran"
    assert any("script" in said for said in watched.said)
    assert any("127.0.0.1" in said and "img-src" in said for said in watched.said)
    page.close()


def test_it_opens_in_a_sandboxed_frame_without_scripts(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    watched = Watched(page)
    page.set_content("<iframe sandbox width=900 height=700></iframe>")
    html = pages["sound"].read_text(encoding="utf-8")
    page.evaluate("html => { document.querySelector('iframe').srcdoc = html }", html)
    frame = page.frame_locator("iframe")
    frame.locator("h1.answer").wait_for()
    assert "times as fast" in (frame.locator("h1.answer").text_content() or "")
    assert watched.said == []
    page.close()


def test_text_has_contrast_enough_in_both_schemes(browser: Browser, pages: dict[str, Path]) -> None:
    """WCAG AA, 4.5 to 1, of every text against the nearest background below it."""
    measure = """() => {
        const parse = text => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(
            v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
        ).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const bad = [];
        for (const element of document.querySelectorAll('main *:not(svg *)')) {
            if (![...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())) continue;
            let under = element, back;
            while (under) {
                back = parse(getComputedStyle(under).backgroundColor);
                if (back.length === 3 || back[3] > 0.99) break;
                under = under.parentElement;
            }
            const [one, two] = [light(parse(getComputedStyle(element).color)), light(back)].sort((a, b) => b - a);
            const ratio = (one + 0.05) / (two + 0.05);
            if (ratio < 4.5) bad.push(element.tagName + '.' + element.className + ' ' + ratio.toFixed(2));
        }
        return [...new Set(bad)];
    }"""
    for scheme in ("light", "dark"):
        for name in ("sound", "hostile"):
            page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(pages[name].as_uri())
            assert page.evaluate(measure) == [], (scheme, name)
            page.close()


def test_printed_it_is_black_on_white_even_from_a_dark_screen(
    browser: Browser, pages: dict[str, Path], tmp_path: Path
) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(pages["sound"].as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    # At the width of A4 less its margins nothing is cut off.
    page.set_viewport_size({"width": 688, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.close()


def test_on_a_phone_the_tables_of_runs_show_time_and_accuracy_without_scrolling(
    browser: Browser, pages: dict[str, Path]
) -> None:
    page = browser.new_page(viewport=PHONE)
    page.goto(pages["sound"].as_uri())
    table = page.locator("figure.table", has_text="Baseline: from random weights")
    assert table.locator(".scroll").evaluate("box => box.scrollWidth <= box.clientWidth")
    shown = [cell for cell in table.locator("thead th").all() if cell.is_visible()]
    assert [cell.text_content() for cell in shown] == ["run", "train s", "test accuracy", "epochs"]
    assert table.get_by_text("A wider screen shows more columns.").is_visible()
    page.set_viewport_size({"width": 1280, "height": 900})
    assert sum(cell.is_visible() for cell in table.locator("thead th").all()) == 8
    page.close()


def test_a_finding_is_one_line_and_unfolds_without_a_script(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["hostile"].as_uri())
    finding = page.locator(".findings li").first
    assert not finding.locator(".note").first.is_visible()
    finding.locator("summary").click()
    assert finding.locator(".note").first.is_visible()
    page.close()
