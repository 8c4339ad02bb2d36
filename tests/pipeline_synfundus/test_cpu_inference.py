import copy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_synfundus import SynFundusPipeline, cpu_inference

pytest.importorskip("openvino", reason="needs OpenVINO: pip install synfundus[openvino]")

# Interrupts itself after two compiled models are gone, the first one first.
INTERRUPTED = """
import gc, os, signal, time
from tests.tiny_pipelines import build_tiny_pipeline
pipelines = [build_tiny_pipeline(3, None) for _ in range(2)]
for pipeline in pipelines:
    pipeline.set_progress_bar_config(disable=True)
    pipeline.cpu_backend = "openvino"
    pipeline({}, num_inference_steps=1)
del pipeline
while pipelines:
    del pipelines[0]
    gc.collect()
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""
CONDITIONS = [{"dr_grade": 3, "is_dme": 1}, {"is_gc": 1, "eye_side": 0}, {}]
SEEDS = [1, 2, 3]


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def cache(request: pytest.FixtureRequest, shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of compiled models: the module's, because compiling takes a second; an empty one to count in."""
    folder = tmp_path if "conversions" in request.fixturenames else shared_cache
    monkeypatch.setattr(cpu_inference, "cached_assets_path", lambda **_: folder)
    return folder


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The UNets that were converted, from an empty cache on."""
    converted: list[Any] = []
    convert = cpu_inference._convert
    monkeypatch.setattr(cpu_inference, "_convert", lambda unet: converted.append(unet) or convert(unet))
    yield converted


@pytest.fixture
def pipeline(tiny_pipeline: SynFundusPipeline) -> SynFundusPipeline:
    """A copy of the tiny pipeline that runs through OpenVINO."""
    parts = {name: copy.deepcopy(part) for name, part in tiny_pipeline.components.items()}
    new = SynFundusPipeline(**parts)
    new.set_progress_bar_config(disable=True)
    new.cpu_backend = "openvino"
    return new


def run(
    pipeline: SynFundusPipeline, conditions: Any = CONDITIONS, generator: Any = SEEDS, **options: Any
) -> np.ndarray:
    return pipeline(
        conditions, generator=generator, **({"num_inference_steps": 4, "output_type": "np"} | options)
    ).images


def with_torch(pipeline: SynFundusPipeline, **options: Any) -> np.ndarray:
    pipeline.cpu_backend = "torch"
    try:
        return run(pipeline, **options)
    finally:
        pipeline.cpu_backend = "openvino"


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return -10 * np.log10(max(np.square(one - other).mean(), 1e-12))


def test_an_interrupt_after_models_are_gone_is_received(warm_python: Path) -> None:
    done = subprocess.run([warm_python, "-c", INTERRUPTED], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_images_are_those_of_torch_and_the_same_alone_as_in_a_batch(
    pipeline: SynFundusPipeline, conversions: list[Any]
) -> None:
    images = run(pipeline)
    assert np.abs(images - with_torch(pipeline)).max() < 1 / 255
    alone = np.concatenate([run(pipeline, [c], [s]) for c, s in zip(CONDITIONS, SEEDS, strict=True)])
    assert np.abs(images - alone).max() < 1 / 255
    assert conversions == [pipeline.unet]


def test_the_bundled_weights_agree_with_torch() -> None:
    pipeline = SynFundusPipeline.from_pretrained()
    pipeline.set_progress_bar_config(disable=True)
    pipeline.cpu_backend = "openvino"
    options = {"conditions": CONDITIONS[:1], "generator": SEEDS[:1], "num_inference_steps": 2}
    assert psnr(run(pipeline, **options), with_torch(pipeline, **options)) > 60


@pytest.mark.parametrize("through_data", [False, True])
def test_changed_weights_are_compiled_again(pipeline: SynFundusPipeline, through_data: bool) -> None:
    before = run(pipeline)
    weight = pipeline.unet.conv_out.weight
    with torch.no_grad():
        (weight.data if through_data else weight).mul_(1.5)
    after = run(pipeline)
    assert np.abs(before - after).max() > 2 / 255
    assert np.abs(after - with_torch(pipeline)).max() < 1 / 255


def test_a_compiled_model_is_read_from_the_disk_and_a_damaged_one_replaced(
    pipeline: SynFundusPipeline, conversions: list[Any], cache: Path
) -> None:
    images = run(pipeline)
    (file,) = cache.iterdir()
    for expected in (1, 2):
        cpu_inference._compiled.clear()
        assert np.array_equal(run(pipeline), images)
        assert len(conversions) == expected
        file.write_bytes(b"damaged")


def test_hooks_and_training_mode_need_the_module_itself(pipeline: SynFundusPipeline, conversions: list[Any]) -> None:
    sizes: list[int] = []
    hook = pipeline.unet.mid_block.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    run(pipeline)
    assert sizes == [6] * 4
    hook.remove()
    pipeline.unet.train()
    run(pipeline)
    assert not conversions


def test_callbacks_and_other_types_work(pipeline: SynFundusPipeline) -> None:
    steps: list[int] = []
    full = run(pipeline, callback_on_step_end=lambda pipe, step, timestep, tensors: steps.append(step) or {})
    assert steps == [0, 1, 2, 3]
    pipeline.to(torch.bfloat16)
    assert psnr(run(pipeline), full) > 25
    assert {parameter.dtype for parameter in pipeline.unet.parameters()} == {torch.bfloat16}


def test_saving_keeps_the_weights_and_the_code_and_compiles_nothing_again(
    pipeline: SynFundusPipeline, conversions: list[Any], tmp_path: Path
) -> None:
    images = run(pipeline)
    pipeline.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "cpu_inference.py").exists()
    again = SynFundusPipeline.from_pretrained(tmp_path / "saved")
    again.set_progress_bar_config(disable=True)
    assert np.array_equal(with_torch(again), with_torch(pipeline))
    assert np.abs(run(again) - images).max() < 1 / 255
    assert conversions == [pipeline.unet]


def test_an_edit_is_that_of_torch(pipeline: SynFundusPipeline) -> None:
    photograph = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    options: dict[str, Any] = {"conditions": CONDITIONS[:1], "generator": [1], "image": photograph}
    for inversion in (False, True):
        edited = run(pipeline, **options, inversion=inversion)
        assert np.abs(edited - with_torch(pipeline, **options, inversion=inversion)).max() < 1 / 255


def test_the_backend_is_one_that_exists(pipeline: SynFundusPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="cpu_backend is 'onnx', but must be one of openvino, torch"):
        pipeline.cpu_backend = "onnx"
    monkeypatch.setenv(cpu_inference.SWITCH, "tensorrt")
    with pytest.raises(ValueError, match="SYNFUNDUS_CPU_BACKEND is 'tensorrt'"):
        cpu_inference.default_backend()
    monkeypatch.delenv(cpu_inference.SWITCH)
    assert cpu_inference.default_backend() == "openvino"
    monkeypatch.setattr(cpu_inference, "has_openvino", lambda: False)
    assert cpu_inference.default_backend() == "torch"
    with pytest.raises(ValueError, match=r"pip install synfundus\[openvino\]"):
        pipeline.cpu_backend = "openvino"
