"""Scripted annotators of known accuracy answer a study in a real browser, across a server that is killed."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.reader_study.analyse import analyse
from evaluation.reader_study.answers import Answers
from evaluation.reader_study.blend import Item, build_blend
from tests.evaluation.studies import draw_photographs

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Item]]:
    folder = tmp_path_factory.mktemp("study")
    synthetic, real = (draw_photographs(30, 32, seed, ("is_amd",)) for seed in (1, 2))
    return folder, build_blend(synthetic, real, folder, per_disease=3, seed=0)


class Server:
    """The study's server, in a process of its own."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python = python
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.start()

    def start(self) -> None:
        command = [self.python, "-m", "evaluation.reader_study", "serve"]
        self.process = subprocess.Popen(
            [*command, "--study", str(self.folder), "--port", str(self.port)],
            cwd=ROOT,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            stdout=subprocess.DEVNULL,
        )
        for _ in range(600):
            try:
                urllib.request.urlopen(self.address, timeout=5).close()
                return
            except OSError:
                assert self.process.poll() is None, "the server did not start"
                time.sleep(0.1)
        pytest.fail("the server did not answer within a minute")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def server(warm_python: Path, study: tuple[Path, list[Item]]) -> Iterator[Server]:
    running = Server(warm_python, study[0])
    yield running
    running.kill()


def enter(browser: Any, server: Server, name: str) -> Any:
    page = browser.new_page()
    page.goto(server.address)
    page.locator("#name textarea, #name input").first.fill(name)
    page.locator("#start").click()
    page.locator("#progress").get_by_text(" answered by ").wait_for(timeout=30_000)
    return page


def say(page: Any, number: int, study: tuple[Path, list[Item]], name: str, right: bool, by_key: bool = True) -> None:
    """Answers the image on the page when so many are answered."""
    folder, items = study
    page.locator("#progress").get_by_text(f"{number} of {len(items)}", exact=True).wait_for(timeout=30_000)
    # The picture may come after the count: wait for one that is not answered yet.
    open_items = {item.name: item for item in items if item.name not in Answers(folder, name).read()}
    page.wait_for_function(
        "names => names.some(name => document.querySelector('#image img')?.src.includes(name))",
        arg=list(open_items),
        timeout=30_000,
    )
    source = page.locator("#image img").get_attribute("src")
    item = next(item for item in open_items.values() if item.name in source)
    synthetic = bool(item.is_synthetic) == right
    if by_key:
        page.keyboard.press("s" if synthetic else "r")
    else:
        page.locator("#synthetic" if synthetic else "#real").click()
    page.locator("#progress").get_by_text(f"{number + 1} of {len(items)}", exact=True).wait_for(timeout=30_000)


def test_scripted_annotators_are_measured_as_they_are_and_a_killed_server_loses_nothing(
    study: tuple[Path, list[Item]], server: Server, browser: Any
) -> None:
    folder, items = study
    page = enter(browser, server, "Perfect")
    for number in range(3):
        say(page, number, study, "Perfect", right=True, by_key=number % 2 == 0)
    assert len(Answers(folder, "Perfect").read()) == 3
    server.kill()
    page.close()
    server.start()
    page = enter(browser, server, "Perfect")
    for number in range(3, len(items)):
        say(page, number, study, "Perfect", right=True)
    page.get_by_text("that was the last one").wait_for(timeout=30_000)
    page.close()
    page = enter(browser, server, "Contrary")
    for number in range(len(items)):
        say(page, number, study, "Contrary", right=number % 4 == 0)
    page.close()
    rows = {row[0]: row for row in analyse(folder).tables[0].rows}
    assert rows["Perfect"][1] == len(items) and rows["Perfect"][6].value == 1
    assert rows["Contrary"][6].value == -(-len(items) // 4) / len(items)


def test_the_page_asks_for_a_name_and_does_not_take_letters_of_it_for_answers(
    study: tuple[Path, list[Item]], server: Server, browser: Any
) -> None:
    page = browser.new_page()
    page.goto(server.address)
    page.locator("#start").click()
    page.get_by_text("annotator's name is ''").first.wait_for(timeout=30_000)
    page.locator("#name textarea, #name input").first.press_sequentially("Rosa Smirr")
    page.locator("#start").click()
    page.locator("#progress").get_by_text(f"0 of {len(study[1])}", exact=True).wait_for(timeout=30_000)
    assert Answers(study[0], "Rosa Smirr").read() == {}
    page.close()
