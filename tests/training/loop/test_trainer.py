import json
from pathlib import Path

import pytest
import torch

from tests.training.loop.tiny import Line, make_trainer
from training.loop.checkpoint import CheckpointError
from training.loop.stopping import TrainingStopped


def checkpoints(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("images-")) for path in (folder / "checkpoints").glob("images-*"))


def weights(module: torch.nn.Module) -> list[float]:
    return [float(tensor.sum()) for tensor in module.state_dict().values()]


def test_a_batch_that_is_not_finite_is_skipped_and_its_rows_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = Line(bad=(7,))
    make_trainer(tmp_path, module).run()
    messages = capsys.readouterr().err
    assert messages.count("skipped the step") == 20  # row 7 is seen once in each of 20 epochs
    assert "its loss is not finite; it saw the rows" in messages
    assert " 7" in messages
    assert all(torch.isfinite(tensor).all() for tensor in module.state_dict().values())
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(torch.isfinite(torch.tensor(list(entry.values()))).all() for entry in entries)
    assert entries[-1]["images_seen"] == 400


def test_a_skipped_step_changes_no_weight_and_no_average(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, Line(bad=tuple(range(20))))
    before = [tensor.clone() for tensor in (*trainer.state.parameters.values(), *trainer.state.averages.tensors)]
    result = trainer.step(0)
    assert result.skipped == "loss"
    assert len(result.rows) == 4
    after = [*trainer.state.parameters.values(), *trainer.state.averages.tensors]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert trainer.state.images_seen == 4
    assert not any(optimizer.state for optimizer in trainer.state.optimizers)


def test_a_gradient_that_is_not_finite_is_skipped(tmp_path: Path) -> None:
    class Steep(Line):
        def forward(self, rows, generator):
            loss = super().forward(rows, generator)["loss"]
            zero = (self.slope.weight * 0).sum()
            return {"loss": loss + torch.sqrt(zero)}  # finite, but its gradient is 0 * infinity

    result = make_trainer(tmp_path, Steep()).step(0)
    assert result.skipped == "gradient"
    assert len(result.rows) == 4


def test_steps_that_stay_bad_end_the_run_and_leave_a_finite_checkpoint(tmp_path: Path) -> None:
    make_trainer(tmp_path, Line(), images=100).run()
    with pytest.raises(TrainingStopped, match="10 steps in a row were not finite") as stopped:
        make_trainer(tmp_path, Line(bad=tuple(range(20))), images=400).run()
    assert stopped.value.status == 1
    assert checkpoints(tmp_path) == [100]


def test_without_a_bad_row_every_step_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_trainer(tmp_path, Line()).run()
    assert "skipped" not in capsys.readouterr().err


def test_a_longer_run_equals_one_that_was_long_from_the_start(tmp_path: Path) -> None:
    long, extended = Line(), Line()
    make_trainer(tmp_path / "long", long, images=800, cooldown_images=100).run()
    make_trainer(tmp_path / "extended", Line(), images=400, cooldown_images=100).run()
    assert 300 in checkpoints(tmp_path / "extended")
    make_trainer(tmp_path / "extended", extended, images=800, cooldown_images=100).run()
    assert weights(extended) == pytest.approx(weights(long), rel=1e-6)


def test_a_run_can_be_cut_short_with_a_cooldown(tmp_path: Path) -> None:
    make_trainer(tmp_path, Line(), images=400).run()
    module = Line()
    make_trainer(tmp_path, module, images=420, cooldown_images=100).run()
    assert module.seen[0] != Line().seen
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["learning_rate"] for entry in entries if "loss" in entry][-1] == 0


def test_a_finished_run_trains_and_measures_nothing(tmp_path: Path) -> None:
    make_trainer(tmp_path, Line()).run()
    log, samples = (tmp_path / "log.jsonl").read_bytes(), (tmp_path / "samples.png").stat().st_mtime_ns
    module = Line()
    make_trainer(tmp_path, module).run()
    assert module.seen == []
    assert (tmp_path / "log.jsonl").read_bytes() == log
    assert (tmp_path / "samples.png").stat().st_mtime_ns == samples


def test_finishing_takes_the_averaged_weights_of_the_newest_checkpoint(tmp_path: Path) -> None:
    first = make_trainer(tmp_path, Line(bad=tuple(range(20))), images=400)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        first.run(finish=True)
    make_trainer(tmp_path, Line(), images=200, ema_half_life_images=10_000).run()
    module = Line()
    trainer = make_trainer(tmp_path, module, images=400, ema_half_life_images=10_000)
    averages = [average.clone() for average in trainer.state.averages.tensors]
    trainer.run(finish=True)
    assert module.seen == []
    assert trainer.state.images_seen == 200
    assert all(torch.equal(a, b) for a, b in zip(averages, module.parameters(), strict=True))


def test_parts_are_clipped_apart(tmp_path: Path) -> None:
    """Otherwise the part with the larger gradient takes all of the norm, and the other one hardly learns."""
    norms = {}
    for apart in ((), ("judge",)):
        trainer = make_trainer(tmp_path / "-".join(apart), Line(), apart, gradient_clip=1.0)
        gradients = {}
        trainer.step._optimizers[0].step = lambda gradients=gradients, trainer=trainer: gradients.update(
            {name: p.grad.clone() for name, p in trainer.state.parameters.items()}
        )
        logged = trainer.step(0).losses
        norms[apart] = torch.cat([gradients[f"slope.{kind}"].flatten() for kind in ("weight", "bias")]).norm().item()
        assert ("gradient_norm_judge" in logged) == bool(apart)
    assert norms[()] < 0.01
    assert norms[("judge",)] == pytest.approx(1, rel=1e-3)


def test_the_average_does_not_depend_on_the_batch_size(tmp_path: Path) -> None:
    """Its half-life is counted in images: halved batches give the same average of a weight that moves evenly."""
    averages = []
    for size in (4, 8):
        trainer = make_trainer(tmp_path / str(size), Line(), batch_size=size, ema_half_life_images=20, images=2000)
        (parameter, *_), (average, *_) = trainer.state.parameters.values(), trainer.state.averages.tensors
        trainer.step._optimizers[0].step = lambda p=parameter, size=size: p.data.add_(size)
        while trainer.state.images_seen < 2000:
            trainer.step(0)
        averages.append(float(parameter.detach() - average))
    assert averages[0] == pytest.approx(20 / 0.6931, rel=0.2)
    assert averages[1] == pytest.approx(averages[0], rel=0.2)
