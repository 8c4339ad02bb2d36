import dataclasses
from typing import Any

import pytest
from generator.settings import SettingsError, check_one, check_same_eye


def test_what_is_left_out_is_healthy_and_the_models_own_default(model: Any) -> None:
    settings = check_one(model, {"dr_grade": 3}, num_images=2, seed=7)
    assert settings.seeds == (7, 8)
    assert settings.conditions[1]["dr_grade"] == 3
    assert settings.conditions[1]["is_fundus"] == 1
    assert (settings.num_inference_steps, settings.guidance_scale) == (12, 2.5)


def test_whole_numbers_come_from_browsers_as_floats(model: Any) -> None:
    settings = check_one(model, {}, 2.0, 5.0, 3.0, 1)
    assert settings == check_one(model, {}, 2, 5, 3, 1.0)


def test_one_eye_has_one_seed_for_all_conditions(model: Any) -> None:
    settings = check_same_eye(model, [{}, {"is_gc": 1}], seed=9)
    assert settings.seeds == (9, 9)
    assert [condition["is_gc"] for condition in settings.conditions] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"dr_grade": 9},), "dr_grade is 9; allowed are 0 to 4"),
        (({"drgrade": 1},), "did you mean 'dr_grade'"),
        (({"is_dme": 1},), "is_dme is 1, but dr_grade was left out"),
        (([],), "a condition is a mapping"),
        (({}, 99), "num_images is 99, but must be a whole number from 1 to 8"),
        (({}, 1.5), "num_images is 1.5, but must be a whole number"),
        (({}, True), "num_images is True"),
        (({}, "2"), "num_images is '2'"),
        (({}, 1, -1), "seed is -1, but must be a whole number from 0 to 4294967295"),
        (({}, 1, float("nan")), "seed is nan"),
        (({}, 1, 0, 51), "num_inference_steps is 51, but must be a whole number from 1 to 50"),
        (({}, 1, 0, 1, float("inf")), "guidance_scale is inf, but must be a number from 0 to 10"),
        (({}, 1, 0, 1, "high"), "guidance_scale is 'high'"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(model: Any, arguments: tuple, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        check_one(model, *arguments)


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([{}, {"is_gc": 7}], r"conditions\[1\]: is_gc is 7"),
        ({"is_gc": 1}, "must be a list of mappings"),
        ([], "the number of conditions is 0"),
        ([{}] * 9, "the number of conditions is 9, but must be a whole number from 1 to 8"),
    ],
)
def test_wrong_conditions_of_one_eye_are_named(model: Any, conditions: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        check_same_eye(model, conditions)


def test_large_images_leave_fewer_for_one_request(model: Any) -> None:
    large = dataclasses.replace(model, width=1024, height=1024)
    assert len(check_one(large, {}, 2).seeds) == 2
    with pytest.raises(SettingsError, match="num_images is 3, but must be a whole number from 1 to 2"):
        check_one(large, {}, 3)
