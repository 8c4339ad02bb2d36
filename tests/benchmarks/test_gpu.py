"""The benchmark of a GPU, tried on a CPU."""

from pathlib import Path

from benchmarks.gpu import main


def test_every_way_to_run_the_pipeline_makes_the_same_images(tmp_path: Path) -> None:
    out = tmp_path / "gpu.md"
    small = ["--device", "cpu", "--preset", "small-256", "--batch-size", "1", "--num-inference-steps", "1"]
    main([*small, "--variants", "generate", "fused", "--seconds", "0", "--out", str(out)])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.read_text().splitlines() if "|" in line]
    rates, parts = ([row for row in rows if row[0] in ("generate", "fused")][part : part + 2] for part in (0, 2))
    assert [row[0] for row in rates] == [row[0] for row in parts] == ["generate", "fused"]
    for _, rate, share, difference, _ in rates:
        assert float(rate) > 0
        assert 0 < float(share.rstrip("%")) < 200
        assert int(difference) <= 1
    for _, unet, decoder, copy, _ in parts:
        assert min(float(unet), float(decoder), float(copy)) > 0
