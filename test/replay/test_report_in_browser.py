"""A replay's report in a real browser: it draws, it moves, it fits a phone, and it is quiet."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.report.report import write_report
from painted_drive import FRAMES, stamp_of
from painted_replay import painting, write_run, write_source

webdriver = pytest.importorskip(
    "selenium.webdriver", reason="no selenium: pip install 'cnn_perception[test]'"
)
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
PATIENCE_S = 20
LONG = "a_very_long_class_name_without_any_space_" * 4

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium and chromedriver: apt install chromium-driver"
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of reports: of one camera with a failure, and of two with long names."""
    folder = tmp_path_factory.mktemp("reports")
    drive = write_source(folder / "drive", FRAMES)
    before = write_run(folder / "before", drive, painting(FRAMES, score=0.8))
    what = painting(FRAMES).dropping(
        5, "detector", reason="corrupt_image", detail="the JPEG ends early"
    )
    one = write_run(folder / "one", drive, what)
    check = Check("golden detections", False, LONG, stamp_of(7))
    what = painting(FRAMES, labels=(LONG, "table"), cameras=("front", "rear"), mapped=False)
    two = write_run(folder / "two", drive, what)
    return {
        "one": write_report(one, [check, Check("rate", True, "10 Hz")], before).as_uri(),
        "two": write_report(two, [Check(LONG, True, LONG)], before).as_uri(),
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Any, pages: dict[str, str]) -> Iterator[Callable[..., Any]]:
    """Opens a report in a window of some width; fails on anything in the console."""

    def open_page(name: str, width: int = 1200, scheme: str = "light") -> Any:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get(pages[name])
        return browser

    yield open_page
    assert browser.get_log("browser") == []


def shot(browser: Any) -> Any:
    """Return what the window shows, uint8 (H, W, 3)."""
    png = np.frombuffer(browser.get_screenshot_as_png(), np.uint8)
    return cv2.imdecode(png, cv2.IMREAD_COLOR)


def text(browser: Any, name: str) -> str:
    return str(browser.find_element(By.ID, name).text)


def picture(browser: Any, kind: str) -> str:
    return str(
        browser.execute_script(f"return document.querySelector('[data-kind={kind}] img').src")
    )


def wait(browser: Any, condition: Callable[[], object]) -> None:
    WebDriverWait(browser, PATIENCE_S, 0.02).until(lambda _: condition())


@pytest.mark.parametrize(("scheme", "bright"), [("light", True), ("dark", False)])
def test_it_is_drawn_in_light_and_dark(
    opened: Callable[..., Any], scheme: str, bright: bool
) -> None:
    browser = opened("one", scheme=scheme)
    page = shot(browser)
    assert (np.median(page) > 128) == bright
    assert len(np.unique(page.reshape(-1, 3), axis=0)) > 100
    browser.execute_script("document.getElementById('player').scrollIntoView()")
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('[data-kind] img')].map(i => i.naturalWidth)"
    )
    assert sizes == [160] * 4
    assert (shot(browser) != page).any()


def test_it_starts_at_the_failure_and_the_scrubber_moves_it(opened: Callable[..., Any]) -> None:
    browser = opened("one")
    assert text(browser, "when") == "0.70 s"
    assert text(browser, "events") == "failed: golden detections"
    before = picture(browser, "camera"), picture(browser, "detections")
    scrubber = browser.find_element(By.ID, "scrub")
    scrubber.send_keys(Keys.ARROW_RIGHT)
    assert text(browser, "when") == "0.80 s"
    assert text(browser, "stamp") == "1700000000.800000000"
    assert text(browser, "events") == ""
    assert picture(browser, "camera") != before[0]
    assert picture(browser, "detections") != before[1]
    scrubber.send_keys(Keys.HOME)
    assert text(browser, "when") == "0.00 s"
    ActionChains(browser).move_to_element(scrubber).click().perform()
    assert text(browser, "when") in {"0.90 s", "1.00 s"}


def test_arrow_keys_step_from_anywhere(opened: Callable[..., Any]) -> None:
    browser = opened("one")
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.ARROW_LEFT)
    body.send_keys(Keys.ARROW_LEFT)
    assert text(browser, "when") == "0.50 s"
    assert "dropped: detector: corrupt_image: the JPEG ends early" in text(browser, "events")
    gap = browser.find_element(By.CSS_SELECTOR, "[data-kind=detections] .gap")
    assert gap.text == "dropped: corrupt_image: the JPEG ends early"
    assert text(browser, "found") == "nothing detected"


def test_it_plays_to_the_end_and_pauses(opened: Callable[..., Any]) -> None:
    browser = opened("one")
    play = browser.find_element(By.ID, "play")
    play.click()
    assert play.get_attribute("aria-label") == "pause"
    wait(browser, lambda: text(browser, "when") not in {"0.70 s", "0.80 s"})
    play.click()
    assert play.get_attribute("aria-label") == "play"
    play.click()
    wait(browser, lambda: play.get_attribute("aria-label") == "play")
    assert text(browser, "when") == f"{(FRAMES - 1) / 10:.2f} s"


def test_the_timeline_shows_values_and_takes_clicks(opened: Callable[..., Any]) -> None:
    browser = opened("one")
    plot = browser.find_element(By.CSS_SELECTOR, ".timeline .plot svg")
    tip = browser.find_element(By.CSS_SELECTOR, ".timeline .tip")
    assert not tip.is_displayed()
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    left = -plot.size["width"] / 2
    at = left + plot.size["width"] * 0.5 / 1.9
    mouse = ActionChains(browser).move_to_element_with_offset(plot, round(at), 0)
    mouse.perform()
    assert tip.is_displayed()
    assert "detector dropped corrupt_image" in tip.text
    assert "mapper\n10.0 ms, found 400" in tip.text
    mouse.click().perform()
    assert text(browser, "when") == "0.50 s"


def test_a_failure_leads_to_its_frame(opened: Callable[..., Any]) -> None:
    browser = opened("one")
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ARROW_RIGHT)
    button = browser.find_element(By.CSS_SELECTOR, "[data-goto]")
    assert button.text == "show the frame at 0.70 s"
    button.click()
    assert text(browser, "when") == "0.70 s"


def test_cameras_are_chosen(opened: Callable[..., Any]) -> None:
    browser = opened("two")
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ARROW_RIGHT)
    when = text(browser, "when")
    front, rear = browser.find_elements(By.CSS_SELECTOR, "[data-camera]")
    timelines = browser.find_elements(By.CSS_SELECTOR, ".timeline")
    assert [timeline.is_displayed() for timeline in timelines] == [True, False]
    rear.click()
    assert [timeline.is_displayed() for timeline in timelines] == [False, True]
    assert "rear/detector" in timelines[1].text
    assert (front.get_attribute("aria-pressed"), rear.get_attribute("aria-pressed")) == (
        "false",
        "true",
    )
    assert text(browser, "when") == when


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_phone_needs_no_sideways_scrolling(opened: Callable[..., Any], name: str) -> None:
    browser = opened(name, 360)
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width == 360
    scrubber = browser.find_element(By.ID, "scrub")
    scrubber.send_keys(Keys.HOME)
    assert text(browser, "when") == "0.00 s"
