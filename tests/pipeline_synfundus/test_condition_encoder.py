from pathlib import Path

import pytest
import torch

from pipeline_synfundus import FundusConditionEncoder


@pytest.fixture
def encoder() -> FundusConditionEncoder:
    torch.manual_seed(0)
    return FundusConditionEncoder(["grade", "sick"], [3, 2], width=8).eval()


def test_the_config_alone_decides_the_shape(encoder: FundusConditionEncoder) -> None:
    assert [table.weight.shape for table in encoder.embeddings] == [(4, 8), (3, 8)]
    assert encoder(torch.tensor([[2, 1], [0, -1], [-1, -1]])).shape == (3, 8)


def test_each_value_and_unknown_has_a_meaning_of_its_own(encoder: FundusConditionEncoder) -> None:
    codes = torch.tensor([[grade, sick] for grade in (-1, 0, 1, 2) for sick in (-1, 0, 1)])
    distances = torch.pdist(encoder(codes).detach())
    assert distances.min() > 1e-3


def test_unknown_is_the_last_row_of_the_table(encoder: FundusConditionEncoder) -> None:
    before = encoder(torch.tensor([[-1, 0], [1, 0]])).detach()
    with torch.no_grad():
        encoder.embeddings[0].weight[3] += 1
    after = encoder(torch.tensor([[-1, 0], [1, 0]])).detach()
    assert not torch.allclose(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_it_learns_and_survives_saving(encoder: FundusConditionEncoder, tmp_path: Path) -> None:
    codes = torch.tensor([[2, 1], [-1, 0]])
    encoder(codes).square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    encoder.save_pretrained(tmp_path)
    loaded = FundusConditionEncoder.from_pretrained(tmp_path)
    assert loaded.config.label_names == ["grade", "sick"]
    assert torch.equal(loaded(codes), encoder(codes))


@pytest.mark.parametrize("shape", [(2,), (2, 3), (1, 2, 2)])
def test_a_wrong_shape_is_refused(encoder: FundusConditionEncoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"codes has shape .* but must have shape \(B, 2\)"):
        encoder(torch.zeros(shape, dtype=torch.long))


def test_a_value_out_of_range_is_an_error(encoder: FundusConditionEncoder) -> None:
    with pytest.raises(IndexError):
        encoder(torch.tensor([[5, 0]]))


def test_names_and_cardinalities_must_pair_up() -> None:
    with pytest.raises(ValueError, match="1 label_names, but 2 cardinalities"):
        FundusConditionEncoder(["grade"], [3, 2], width=8)


def test_an_ordinal_value_is_the_sum_of_the_steps_up_to_it() -> None:
    torch.manual_seed(0)
    encoder = FundusConditionEncoder(["grade"], [4], width=8, ordinal_labels=["grade"]).eval()
    encoder.mlp = torch.nn.Identity()
    steps = encoder.embeddings[0].weight.detach()
    embedded = encoder(torch.tensor([[0], [1], [3], [-1]])).detach()
    assert torch.allclose(embedded[0], steps[0])
    assert torch.allclose(embedded[1], steps[:2].sum(dim=0))
    assert torch.allclose(embedded[2], steps[:4].sum(dim=0), atol=1e-6)
    assert torch.allclose(embedded[3], steps[4])


def test_an_ordinal_label_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ordinal_labels is \['stage'\], but label_names is \['grade'\]"):
        FundusConditionEncoder(["grade"], [4], width=8, ordinal_labels=["stage"])
