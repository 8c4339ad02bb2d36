import pytest
import torch
from accelerate import PartialState

from pipeline_synfundus.cpu_inference import computes_bfloat16
from training.loop.precision import choose_precision, has_bfloat16


def test_bfloat16_units_are_those_that_the_system_lists() -> None:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        flags = next((line.split() for line in file if line.startswith("flags")), [])
    assert computes_bfloat16() == any(flag in flags for flag in ("avx512_bf16", "amx_tile"))


@pytest.mark.parametrize(("units", "chosen"), [(True, "bf16"), (False, "no")])
def test_a_cpu_without_bfloat16_units_trains_in_float32_and_says_so(
    units: bool, chosen: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.loop.precision.computes_bfloat16", lambda: units)
    state = PartialState()
    monkeypatch.setattr(state, "device", torch.device("cpu"))
    assert choose_precision("bf16", state) == chosen
    assert ("training in float32" in capsys.readouterr().out) == (not units)
    assert choose_precision("no", state) == "no"
    assert capsys.readouterr().out == ""


def test_a_gpu_keeps_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.loop.precision.computes_bfloat16", lambda: False)
    assert has_bfloat16(torch.device("cuda"))
