import pytest

from benchmarks.dataset_tables import BEGIN, END, replace_section


def test_the_first_section_is_appended_to_the_page():
    page = replace_section("# Benchmarks\n\nTraining.\n", "tables")
    assert page == f"# Benchmarks\n\nTraining.\n\n{BEGIN}\ntables\n{END}\n"


def test_a_section_is_replaced_and_the_rest_is_unchanged():
    page = f"# Benchmarks\n\nbefore\n{BEGIN}\nold\n{END}\nafter\n"
    assert replace_section(page, "new\n") == f"# Benchmarks\n\nbefore\n{BEGIN}\nnew\n{END}\nafter\n"
    assert replace_section(replace_section(page, "new"), "old") == page


def test_half_a_section_is_refused():
    with pytest.raises(ValueError, match="only one of the marks"):
        replace_section(f"{BEGIN}\nhalf", "tables")
