"""Runs the Space with a pause before each evaluation of its network, as a larger network takes time.

The pause, in seconds, stands in the file that SPACE_PAUSE names; without the file there is none.
"""

import os
import runpy
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from diffusers import UNet2DModel

SPACE = Path(__file__).parents[2] / "space"
PAUSE = Path(os.environ["SPACE_PAUSE"])
evaluate = UNet2DModel.forward


def evaluate_after_a_pause(self: UNet2DModel, *arguments: Any, **named: Any) -> Any:
    with suppress(FileNotFoundError):
        time.sleep(float(PAUSE.read_text()))
    return evaluate(self, *arguments, **named)


UNet2DModel.forward = evaluate_after_a_pause
sys.path.insert(0, str(SPACE))  # as `python space/app.py` does
runpy.run_path(str(SPACE / "app.py"), run_name="__main__")
