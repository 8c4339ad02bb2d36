"""Types of command-line arguments. argparse reports invalid values with the name of the argument."""

from __future__ import annotations

import argparse
import math

from .schema import LARGEST_IDX


def positive_integer(text: str) -> int:
    """Returns an integer of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of 1 or more")
    return int(text)


def row_numbers(text: str) -> list[int]:
    """Returns row numbers separated by commas, without duplicates."""
    numbers = text.split(",")
    for number in numbers:
        if not number.strip().isdecimal() or int(number) > LARGEST_IDX:
            raise argparse.ArgumentTypeError(
                f"{number!r} is not the number of a row, an integer of 0 or more and less than 2**63"
            )
    return list(dict.fromkeys(map(int, numbers)))


def scale(text: str) -> float:
    """Returns a finite number of 0 or more."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return number
