"""The guide "Edit a photograph": its snippets run as printed, in order."""

import re
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from pipeline_synfundus import SynFundusPipeline

GUIDE = Path(__file__).parents[2] / "docs" / "edit-a-photograph.md"


def test_the_snippets_of_the_guide_run_as_printed(
    tiny_pipeline: SynFundusPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SynFundusPipeline, "from_pretrained", lambda: tiny_pipeline)
    image = Image.new("RGB", (90, 60))
    ImageDraw.Draw(image).ellipse((20, 5, 69, 54), fill=(190, 80, 30))
    image.save("eye.jpg")
    names: dict = {}
    for snippet in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        exec(snippet, names)
    assert Image.open("amd.png").size == (16, 16)
    assert len(names["grades"]) == 5
    assert {"glaucoma", "closer", "half"} <= set(names)
