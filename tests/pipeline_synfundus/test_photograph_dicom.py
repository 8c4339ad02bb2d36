import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline_synfundus.photograph import PhotographError, read_photograph
from tests.pipeline_synfundus.test_photograph import SIZE, difference, expected, retina

pydicom = pytest.importorskip("pydicom")


def dicom(pixels: np.ndarray, photometric: str, bits: int = 8, frames: int = 0, **tags: object) -> bytes:
    """An ophthalmic photograph as DICOM, uncompressed."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.5.1"  # Ophthalmic Photography 8 Bit Image Storage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["a test"])
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.Rows, dataset.Columns = pixels.shape[frames > 0 :][:2]
    colours = pixels.shape[-1] == 3
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = (3 if colours else 1), photometric
    if colours:
        dataset.PlanarConfiguration = 0
    if frames:
        dataset.NumberOfFrames = frames
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, 0
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels.tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def grey() -> np.ndarray:
    return np.asarray(retina().convert("L"))


@pytest.mark.parametrize(
    "content",
    [
        dicom(np.asarray(retina()), "RGB"),
        dicom(np.asarray(retina().convert("YCbCr")), "YBR_FULL"),
        dicom(np.stack([np.asarray(retina()), np.zeros((200, 200, 3), np.uint8)]), "RGB", frames=2),
    ],
    ids=["RGB", "YCbCr", "first of several frames"],
)
def test_a_colour_dicom_is_read(content: bytes) -> None:
    assert difference(read_photograph(content, SIZE), expected()) < 4


@pytest.mark.parametrize(
    "content",
    [
        dicom(grey(), "MONOCHROME2"),
        dicom(grey().astype(np.uint16) * 16, "MONOCHROME2", bits=12),
        dicom(255 - grey(), "MONOCHROME1"),
    ],
    ids=["8 bits", "12 bits", "white is 0"],
)
def test_a_grey_dicom_is_read(content: bytes) -> None:
    assert difference(read_photograph(content, SIZE), expected().convert("L").convert("RGB")) < 4


def test_a_palette_dicom_is_read() -> None:
    paletted = retina().quantize(64)
    used = np.array(paletted.getpalette(), np.uint16).reshape(-1, 3) * 257
    colours = np.zeros((256, 3), np.uint16)
    colours[: len(used)] = used
    names = ("Red", "Green", "Blue")
    tags = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in names}
    tags |= {f"{name}PaletteColorLookupTableData": colours[:, i].tobytes() for i, name in enumerate(names)}
    content = dicom(np.asarray(paletted), "PALETTE COLOR", **tags)
    assert difference(read_photograph(content, SIZE), expected()) < 5


def test_a_dicom_file_without_its_preamble_is_known_by_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "photograph.dcm"
    path.write_bytes(dicom(np.asarray(retina()), "RGB")[132:])
    assert difference(read_photograph(path, SIZE), expected()) < 4


def test_a_truncated_dicom_file_and_one_that_claims_a_huge_picture_are_refused() -> None:
    content = dicom(np.asarray(retina()), "RGB")
    for length in (200, len(content) - 5000):
        with pytest.raises(PhotographError, match="cannot be read as a photograph"):
            read_photograph(content[:length], SIZE)
    huge = dicom(np.asarray(retina()), "RGB", Rows=60_000, Columns=60_000)
    with pytest.raises(PhotographError, match="60000x60000 pixels"):
        read_photograph(huge, SIZE)


def test_without_pydicom_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(PhotographError, match=r"pip install synfundus\[dicom\]"):
        read_photograph(bytes(128) + b"DICM", SIZE)


def test_a_compressed_dicom_is_read() -> None:
    buffer = io.BytesIO()
    retina().save(buffer, "JPEG", quality=95)
    dataset = pydicom.dcmread(io.BytesIO(dicom(np.asarray(retina()), "YBR_FULL_422")))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    dataset.PixelData = pydicom.encaps.encapsulate([buffer.getvalue()])
    dataset["PixelData"].VR = "OB"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    assert difference(read_photograph(file.getvalue(), SIZE), expected()) < 5


def test_other_files_need_no_pydicom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert isinstance(read_photograph(np.asarray(retina()), SIZE), Image.Image)
