"""The page in a real browser, as a visitor meets it; skipped where Chromium or Playwright is not there.

Screenshots of every state are kept in the folder that SYNFUNDUS_SCREENSHOTS names, where it is set.
"""

import io
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
from PIL import Image
from test_uploaded_photograph import draw_fundus

from pipeline_synfundus.labels import CONDITION_NAMES

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs pip install axe-playwright-python")

Page, expect = playwright.Page, playwright.expect
expect.set_options(timeout=30_000)  # a busy machine is slow, not wrong
DESKTOP = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"}
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"}


# Notes each first picture that is on the page together with the progress bar: a run may be shorter than a look at it.
WATCH = """() => {
  window.previews = new Set();
  new MutationObserver(() => {
    const picture = document.querySelector('#gallery img');
    if (picture && document.querySelector('#generate-status progress')) window.previews.add(picture.src);
  }).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""
# Colours fade, which has to end before their contrast is measured; some animations go on for ever.
STILL = """() => Promise.allSettled(document.getAnimations().filter(
  animation => animation.effect.getComputedTiming().endTime < Infinity).map(animation => animation.finished))"""
# Steps are taken on the phone, where less is in view and tabs are in a menu; `inspect` looks at both windows.
on_phone = pytest.mark.parametrize("blank_page", [PHONE], ids=["phone"], indirect=True)


@pytest.fixture(scope="module")
def windows(browser: Any) -> Iterator[dict[int, Any]]:
    """A browser window of each width, whose pages share the cache of files."""
    opened = {
        size["viewport"]["width"]: browser.new_context(**size, accept_downloads=True) for size in (DESKTOP, PHONE)
    }
    yield opened
    for window in opened.values():
        window.close()


@pytest.fixture
def blank_page(request: pytest.FixtureRequest, windows: dict[int, Any]) -> Iterator[Page]:
    """An empty tab; at the end nothing may have been asked of another host."""
    size = getattr(request, "param", DESKTOP)
    outside: list[str] = []

    def check(asked: Any) -> None:
        parts = urlsplit(asked.url)
        if parts.scheme.startswith("http") and parts.hostname != "127.0.0.1":
            outside.append(asked.url)

    page = windows[size["viewport"]["width"]].new_page()
    page.on("request", check)
    page.set_default_timeout(30_000)
    yield page
    page.close()
    assert outside == []


@pytest.fixture
def page(blank_page: Page, address: str) -> Page:
    """The page, just opened."""
    blank_page.goto(address)
    blank_page.wait_for_selector("#condition input")
    return blank_page


@pytest.fixture
def inspect(blank_page: Page) -> Any:
    """Checks a state of the page: its accessibility, that nothing is wider than the window; keeps a screenshot.

    A state that was reached on a phone is checked on a dark desktop, too.
    """
    page = blank_page

    def check_here(state: str) -> None:
        page.evaluate(STILL)
        if folder := os.environ.get("SYNFUNDUS_SCREENSHOTS"):
            name = re.sub(r"\W+", "-", f"{page.viewport_size['width']}-{state}")
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
        found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        serious = [entry for entry in found if entry["impact"] in ("serious", "critical")]
        assert [(entry["id"], [node["html"][:200] for node in entry["nodes"]]) for entry in serious] == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    def check(state: str) -> None:
        check_here(state)
        if page.viewport_size == PHONE["viewport"]:
            for size in (DESKTOP, PHONE):
                page.set_viewport_size(size["viewport"])
                page.emulate_media(color_scheme=size["color_scheme"])
                expect(page.locator("body.dark")).to_have_count(int(size is DESKTOP))
                if size is DESKTOP:
                    check_here(state)

    return check


def choose(page: Page, name: str, value: int) -> None:
    """Presses the visible part of a radio button, as a finger would."""
    page.locator(f"label:has(input[name={name}][value='{value}'])").click()


def open_tab(page: Page, name: str) -> None:
    """Opens a tab; those that do not fit a phone are in a menu."""
    tab = page.get_by_role("tab", name=name)
    if not tab.count():
        page.get_by_role("button", name="More tabs").click()
        tab = page.locator(".overflow-dropdown").get_by_role("button", name=name)
    tab.click()


def set_number(page: Page, label: str, value: int) -> None:
    field = page.get_by_label(label).first
    field.fill(str(value))
    field.press("Tab")


def fetch_image(page: Page, selector: str) -> Image.Image:
    return Image.open(io.BytesIO(page.request.get(page.locator(selector).first.get_attribute("src")).body()))


@on_phone
def test_findings_become_pictures_with_live_previews_labels_and_a_link(page: Page, server: Any, inspect: Any) -> None:
    inspect("start")
    page.get_by_role("button", name="Moderate NPDR with edema").click()
    expect(page.locator("input[name=is_dme][value='1']")).to_be_checked()
    choose(page, "is_gc", -1)
    set_number(page, "number input for Images", 2)
    set_number(page, "number input for Denoising steps", 12)
    set_number(page, "Seed of the first image", 7)
    page.evaluate(WATCH)
    with server.slowed(0.1):
        page.click("#generate-start")
        expect(page.get_by_text("2 synthetic images in")).to_be_visible()
    assert page.evaluate("window.previews.size") >= 3  # pictures seen while the progress bar was there
    inspect("done")

    caption = "moderate NPDR (DR grade 2), diabetic macular edema, glaucoma unknown, seed 8"
    expect(page.locator("#gallery img").nth(1)).to_have_attribute("alt", caption)
    shown = fetch_image(page, "#gallery img")
    assert shown.text["SynFundus-Synthetic"] == "true"

    link = page.get_by_label("Link to these images").input_value()
    assert link == page.url
    page.goto(link)
    expect(page.get_by_text("2 synthetic images in")).to_be_visible()
    expect(page.locator("input[name=is_gc][value='-1']")).to_be_checked()
    assert fetch_image(page, "#gallery img").tobytes() == shown.tobytes()


def test_downloads_hold_the_images_and_the_fifteen_labels(page: Page) -> None:
    page.get_by_role("button", name="Unreadable macula").click()  # an example runs at once
    expect(page.get_by_text("2 synthetic images in")).to_be_visible()
    files = {}
    for name in ("zip", "csv", "parquet"):
        with page.expect_download() as waiting:
            page.click(f"#{name}")
        files[name] = waiting.value.path()
    table = pd.read_csv(files["csv"])
    assert list(table.columns[1:17]) == list(CONDITION_NAMES)
    assert table[["dr_grade", "is_macular_readable", "seed"]].to_numpy().tolist() == [[0, 0, 5], [0, 0, 6]]
    assert pd.read_parquet(files["parquet"]).file_name.tolist() == table.file_name.tolist()
    with zipfile.ZipFile(files["zip"]) as archive:
        assert sorted(archive.namelist()) == sorted([*table.file_name, "metadata.csv"])
        image = Image.open(archive.open(table.file_name[0]))
        assert "not for diagnosis" in image.text["Description"]


def test_generate_pressed_right_after_a_preset_waits_for_the_presets_choices(page: Page) -> None:
    def answer_late(route: Any) -> None:
        page.wait_for_timeout(500)
        route.continue_()

    page.route("**/gradio_api/run/predict**", answer_late)
    page.get_by_role("button", name="Advanced glaucoma").first.click()
    page.locator("#generate-start").click()
    page.unroute_all(behavior="wait")
    expect(page.locator("#generate-status")).to_contain_text("synthetic image")
    with page.expect_download() as download:
        page.locator("#csv").click()
    labels = pd.read_csv(download.value.path())
    assert (labels["is_gc"] == 1).all()


def test_cancel_stops_a_run_and_the_next_one_works(page: Page, server: Any, inspect: Any) -> None:
    set_number(page, "number input for Denoising steps", 50)
    with server.slowed(0.2):
        page.click("#generate-start")
        expect(page.locator("#generate-status progress")).to_be_visible()
        page.click("#generate-cancel")
        expect(page.locator("#generate-status")).to_have_text("Cancelled.")
    expect(page.locator("#generate-cancel")).to_be_disabled()
    expect(page.locator("#zip")).to_be_disabled()  # nothing to take home
    inspect("cancelled")
    set_number(page, "number input for Images", 1)
    set_number(page, "number input for Denoising steps", 2)
    page.click("#generate-start")
    expect(page.get_by_text("1 synthetic image in")).to_be_visible()


@on_phone
def test_contradictions_are_explained_at_once_and_what_follows_is_settled(page: Page, inspect: Any) -> None:
    choose(page, "is_dme", 1)
    explained = page.locator("#contradiction [role=alert]")
    expect(explained).to_contain_text("diabetic macular edema is 1, but diabetic retinopathy grade is 0")
    expect(explained).to_be_in_viewport()
    expect(page.locator("#generate-start")).to_be_disabled()
    inspect("contradiction")
    choose(page, "dr_grade", 2)
    expect(explained).to_have_count(0)
    expect(page.locator("#generate-start")).to_be_enabled()

    choose(page, "is_fundus", 0)
    settled = page.locator("input[name=is_macular_readable][value='0']")
    expect(settled).to_be_checked()
    expect(settled).to_be_disabled()
    expect(page.locator("#contradiction")).to_contain_text("macula readable (unreadable)")
    inspect("settled")
    choose(page, "is_fundus", 1)
    expect(page.locator("input[name=is_macular_readable][value='1']")).to_be_checked()
    expect(settled).to_be_enabled()


def test_the_form_is_reached_and_changed_with_the_keyboard(page: Page) -> None:
    page.locator("input[name=dr_grade][value='0']").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("input[name=dr_grade][value='1']")).to_be_focused()
    expect(page.locator("input[name=dr_grade][value='1']")).to_be_checked()
    expect(page.get_by_role("group", name="Glaucoma").get_by_role("radio", name="present")).to_be_attached()
    page.locator("#generate-start").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("4 synthetic images in")).to_be_visible()
    expect(page.locator("#gallery img").first).to_have_attribute("alt", "mild NPDR (DR grade 1), seed 0")


@on_phone
def test_one_eye_is_shown_with_several_diseases_and_where_they_differ(page: Page, inspect: Any) -> None:
    open_tab(page, "Same eye")
    page.click("#row-start")
    expect(page.locator("#row-difference figure")).to_have_count(3)
    expect(page.locator("#row-gallery img")).to_have_count(4)
    page.get_by_role("button", name="Thumbnail 3 of 4").click()
    expect(page.locator("#row-difference figcaption").nth(1)).to_have_text("Vein occlusion")
    expect(page.locator("#row-difference figcaption").nth(2)).to_contain_text("Where it changed")
    assert fetch_image(page, "#row-gallery img").text["SynFundus-Synthetic"] == "true"
    inspect("row")


@on_phone
def test_a_slider_moves_one_eye_through_the_grades(page: Page, inspect: Any) -> None:
    open_tab(page, "Grades")
    page.click("#grades-start")
    slider = page.get_by_role("slider", name="Diabetic retinopathy grade")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#grades-slider figcaption:visible").nth(1)).to_have_text("Grade 3 severe NPDR")
    expect(slider).to_have_attribute("aria-valuetext", "3 severe NPDR")
    expect(page.locator("#grades-slider figure:visible")).to_have_count(3)
    inspect("grades")


def test_the_quiz_asks_judges_and_counts(page: Page, inspect: Any) -> None:
    open_tab(page, "Quiz")
    page.click("#quiz-start")
    for asked in range(1, 7):
        expect(page.locator("#quiz-status")).to_contain_text(f"Pair {asked} of 6. Which one")
        expect(page.locator("#quiz-pair img")).to_have_count(2)
        if asked == 1:
            inspect("question")
        page.click("#quiz-A")
        expect(page.locator("#quiz-status")).to_contain_text(re.compile(rf"it is [AB]\..* [0-6] of {asked} right"))
        expect(page.locator("#quiz-B")).to_be_disabled()
        if asked < 6:
            page.get_by_role("button", name="Next pair").click()
    expect(page.locator("#quiz-status")).to_contain_text("Random guessing scores at least as well in")
    expect(page.get_by_role("button", name="Play again")).to_be_enabled()
    inspect("score")


def test_a_wrong_link_is_explained_and_starts_nothing(blank_page: Page, address: str, inspect: Any) -> None:
    page = blank_page
    page.goto(f"{address}/?dr_grade=9&seed=3")
    explained = page.locator("#contradiction [role=alert]")
    expect(explained).to_contain_text("This link cannot be used: diabetic retinopathy grade is 9; allowed are 0 to 4")
    expect(explained).to_be_in_viewport()
    expect(page.locator("#gallery img")).to_have_count(0)
    inspect("wrong-link")


def test_a_second_visitor_waits_in_the_queue_while_the_page_stays_alive(
    page: Page, windows: dict[int, Any], server: Any
) -> None:
    other = windows[PHONE["viewport"]["width"]].new_page()
    with server.slowed(0.2):
        other.goto(f"{server.address}/?seed=1&steps=50")
        expect(other.locator("#generate-status progress")).to_be_visible()
        page.click("#generate-start")
        expect(page.locator("#generate-status")).to_contain_text(re.compile("queue: 1/1|processing"))
        choose(page, "is_dme", 1)
        expect(page.locator("#contradiction [role=alert]")).to_be_visible()
        choose(page, "is_dme", 0)
        other.close()  # a visitor who leaves stops being served
    expect(page.get_by_text("4 synthetic images in")).to_be_visible()


def edit_in_browser(page: Page) -> None:
    """Chooses a photograph and a change, and presses the button."""
    open_tab(page, "Your photograph")
    buffer = io.BytesIO()
    draw_fundus().save(buffer, "JPEG", quality=95)
    eye = {"name": "eye.jpg", "mimeType": "image/jpeg", "buffer": buffer.getvalue()}
    page.locator("#photograph input[data-source=file]").set_input_files(eye)
    expect(page.locator("#photograph [role=status]")).to_have_text("eye.jpg is ready.")
    page.locator("#edit-changes input").click()
    page.get_by_role("option", name="glaucoma: present").click()
    page.keyboard.press("Escape")
    page.get_by_label('Write "synthetic" on the result').check()
    page.click("#edit-start")
    expect(page.locator("#edit-status")).to_contain_text("Edited. The result is synthetic.")


@on_phone
def test_a_photograph_is_edited_compared_and_downloaded(page: Page, inspect: Any) -> None:
    open_tab(page, "Your photograph")
    inspect("photograph-start")
    page.click("#edit-start")
    expect(page.locator("#edit-status [role=alert]")).to_have_text("Choose at least one change.")
    edit_in_browser(page)
    captions = page.locator("#edit-result figcaption")
    expect(captions).to_have_count(3)
    expect(captions.nth(1)).to_have_text("Synthetic edit: glaucoma: present")
    expect(captions.nth(2)).to_contain_text("Where it changed")
    inspect("photograph-edited")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download the edit (PNG)").click()
    assert waiting.value.suggested_filename == "synthetic-edit.png"
    with Image.open(waiting.value.path()) as image:
        assert image.text["SynFundus-Edited"] == "true"
        assert image.size == (16, 16)


@on_phone
def test_a_picture_without_a_fundus_and_a_file_that_is_too_large_get_a_clear_answer(
    page: Page, inspect: Any, tmp_path: Path
) -> None:
    open_tab(page, "Your photograph")
    said = page.locator("#photograph [role=status]")
    upload = page.locator("#photograph input[data-source=file]")
    (tmp_path / "big.png").write_bytes(b"0" * 20_000_001)
    upload.set_input_files(tmp_path / "big.png")
    expect(said).to_contain_text("The file is too large: 20.0 MB. The limit is 20 MB.")
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), (40, 90, 200)).save(buffer, "PNG")
    upload.set_input_files({"name": "sky.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    expect(said).to_have_text("sky.png is ready.")
    page.locator("#edit-changes input").click()
    page.get_by_role("option", name="glaucoma: present").click()
    page.keyboard.press("Escape")
    page.click("#edit-start")
    expect(page.locator("#edit-status [role=alert]")).to_contain_text("does not look like a colour fundus photograph")
    inspect("photograph-refused")


def test_a_photograph_and_its_edit_are_never_written_to_disk_or_log(page: Page, server: Any) -> None:
    before = {path for path in server.folder.rglob("*") if path.is_file()}
    edit_in_browser(page)
    after = {path for path in server.folder.rglob("*") if path.is_file()}
    assert after == before
    shown = [image.get_attribute("src") for image in page.locator("#edit-result img").all()]
    assert len(shown) == 3 and all(source.startswith("data:image/png;base64,") for source in shown)
    log = (server.folder / "log.txt").read_text()
    assert "base64" not in log and "eye.jpg" not in log
