import pytest

from pipeline_synfundus.photograph import PhotographError
from synfundus.photographs import LISTED, list_problems, read_many


def test_results_come_in_order_with_errors_in_their_places() -> None:
    def read(number: int) -> int:
        if number % 10 == 3:
            raise PhotographError(f"{number} cannot be read")
        return number * 2

    results = list(read_many(read, range(200), "reading"))
    assert len(results) == 200
    for number, result in enumerate(results):
        if number % 10 == 3:
            assert isinstance(result, PhotographError)
            assert str(result) == f"{number} cannot be read"
        else:
            assert result == number * 2


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        list(read_many(lambda number: 1 // number, [1, 0], "reading"))


def test_a_long_list_of_problems_is_cut_and_counted() -> None:
    lines = list_problems([f"problem {number}" for number in range(LISTED + 7)]).splitlines()
    assert len(lines) == LISTED + 1
    assert lines[0] == "  problem 0"
    assert lines[-1] == "  and 7 more"
