"""The named endpoints, called as a user would, on a Space served by a process of its own."""

import re
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from pipeline_synfundus.labels import CONDITION_NAMES, complete_condition

SPACE = Path(__file__).parents[2] / "space"


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


def test_a_condition_becomes_labelled_images_that_say_they_are_synthetic(client: Client) -> None:
    eyes = client.predict(
        {"dr_grade": 3, "is_dme": 1, "eye_side": 1}, 2, seed=7, num_inference_steps=2, api_name="/generate"
    )
    assert [eye["caption"] for eye in eyes] == [
        f"severe NPDR (DR grade 3), diabetic macular edema, left eye, seed {seed}" for seed in (7, 8)
    ]
    assert eyes[0]["labels"] == complete_condition({"dr_grade": 3, "is_dme": 1, "eye_side": 1})
    with Image.open(eyes[1]["image"]) as image:
        assert image.size == (16, 16)
        assert image.text["SynFundus-Synthetic"] == "true"


def test_a_seed_makes_the_same_image_again(client: Client) -> None:
    first, second = (client.predict({}, 2, seed=seed, num_inference_steps=2, api_name="/generate") for seed in (7, 8))
    pixels = [list(Image.open(eye["image"]).tobytes()) for eye in (*first, *second)]
    assert pixels[1] == pixels[2]
    assert pixels[0] != pixels[1]


def test_the_same_eye_has_one_seed_for_all_conditions(client: Client) -> None:
    eyes = client.predict([{}, {"is_gc": 1}], seed=5, num_inference_steps=2, api_name="/same_eye")
    assert [(eye["labels"]["is_gc"], eye["seed"]) for eye in eyes] == [(0, 5), (1, 5)]


def test_a_live_request_says_its_step_and_ends_with_the_images(client: Client) -> None:
    answers = list(client.submit({}, 1, num_inference_steps=4, api_name="/generate_live"))
    assert [answer["step"] for answer in answers] == [1, 2, 3, 4]
    assert [len(answer["images"]) for answer in answers] == [0, 0, 0, 1]


def test_a_live_request_can_be_cancelled_and_the_next_one_is_served(client: Client) -> None:
    job = client.submit({}, 8, num_inference_steps=50, api_name="/generate_live")
    first = next(iter(job))
    job.cancel()
    assert first["step"] < 50
    assert len(client.predict({}, num_inference_steps=1, api_name="/generate")) == 1


def test_no_event_is_cancelled_in_the_way_that_can_end_in_error(client: Client) -> None:
    """See `RunBar`."""
    assert [event["id"] for event in client.config["dependencies"] if event["cancels"]] == []


def test_the_labels_are_listed(client: Client) -> None:
    labels = client.predict(api_name="/labels")
    assert [label["name"] for label in labels] == list(CONDITION_NAMES)
    assert labels[0]["values"][3] == "severe NPDR"
    assert labels[3]["full_name"] == "choroidal retinal pathology"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"is_dme": 1},), "is_dme is 1, but dr_grade was left out"),
        (({"dr_grade": 9},), "dr_grade is 9; allowed are 0 to 4"),
        (("severe",), "a condition is a mapping"),
        (({}, 99), "num_images is 99, but must be a whole number from 1 to 8"),
        (({}, 1, 0, 1, -3.0), "guidance_scale is -3.0, but must be a number from 0 to 10"),
    ],
)
def test_a_wrong_request_is_answered_with_the_reason(client: Client, arguments: tuple, message: str) -> None:
    with pytest.raises(AppError, match=message):
        client.predict(*arguments, api_name="/generate")


def test_requests_of_several_visitors_wait_in_the_queue(client: Client) -> None:
    jobs = [client.submit({}, 1, seed, 3, api_name="/generate") for seed in range(5)]
    captions = [job.result(timeout=60)[0]["caption"] for job in jobs]
    assert captions == [f"healthy, readable, seed {seed}" for seed in range(5)]


def test_the_readme_snippet_runs_as_printed(address: str, capsys: pytest.CaptureFixture) -> None:
    readme = (SPACE / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"^```python\n(.*?)^```", readme, flags=re.DOTALL | re.MULTILINE)
    exec(snippet.replace("http://127.0.0.1:7860", address), {})
    printed = capsys.readouterr().out
    assert len(re.findall(r"synfundus-\d-seed-\d\.png severe NPDR", printed)) == 2
