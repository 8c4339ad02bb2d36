import pytest
import torch
from torch import nn

from training.configuration.config import OptimizerConfig
from training.loop.checkpoint import Schedule
from training.loop.state import TrainingState


def convolution_state(algorithm: str) -> TrainingState:
    """The state of a convolution with the channels last, as on a GPU."""
    torch.manual_seed(0)
    module = nn.ModuleDict({"down_blocks": nn.Conv2d(4, 8, 3), "conv_in": nn.Conv2d(4, 8, 3)})
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainingState(module, OptimizerConfig(images=100, batch_size=1, learning_rate=0.1, algorithm=algorithm))


def take_step(state: TrainingState) -> None:
    torch.manual_seed(1)
    for parameter in state.parameters.values():
        parameter.grad = torch.randn(parameter.shape).contiguous(memory_format=torch.preserve_format)
        if parameter.ndim == 4:
            parameter.grad = parameter.grad.contiguous(memory_format=torch.channels_last)
    for optimizer in state.optimizers:
        optimizer.step()


@pytest.mark.parametrize("algorithm", ["adamw", "muon"])
def test_a_resumed_state_has_the_memory_layout_of_its_parameters(algorithm: str) -> None:
    unbroken, resumed = convolution_state(algorithm), convolution_state(algorithm)
    take_step(unbroken)
    checkpoint = unbroken.to_checkpoint({}, Schedule(100, 100))
    for tensors in (checkpoint.weights, checkpoint.ema, checkpoint.optimizer):  # as from a file, without its layout
        tensors |= {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    resumed.load(checkpoint)
    states = [state for optimizer in resumed.optimizers for state in optimizer.state.values()]
    held = [tensor for state in states for tensor in state.values() if tensor.ndim == 4]
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in held)
    take_step(unbroken)
    take_step(resumed)
    for name, parameter in unbroken.parameters.items():
        assert torch.equal(parameter, resumed.parameters[name])
