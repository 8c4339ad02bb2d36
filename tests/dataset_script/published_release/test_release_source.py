import pickle
import zipfile

import numpy as np
import PIL.Image
import pytest
from small_release import labels, png, write_annotation, write_images, write_release

from dataset_script.published_release.annotation import ANNOTATION, EXAMPLES, Problem, PublishedReleaseError, report
from dataset_script.published_release.image_files import ImageFile
from dataset_script.published_release.source import load_release, scan_release
from dataset_script.schema import features
from pipeline_synfundus.labels import CONDITION_NAMES, LABEL_NAMES

SCHEMA = features().arrow_schema


def rows_of(folder) -> list[dict]:
    """All rows as dictionaries; an image is the file's bytes."""
    rows = [row for table in load_release(str(folder)).tables(SCHEMA) for row in table.to_pylist()]
    return [{**row, "image": row["image"]["bytes"]} for row in rows]


def expected(numbers) -> list[dict]:
    return [{"image": png(number), "idx": number, **labels(number)} for number in numbers]


def refused(folder) -> PublishedReleaseError:
    with pytest.raises(PublishedReleaseError) as caught:
        load_release(str(folder))
    return caught.value


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("places", [["."] * 4, ["00", "00", "a/b", "a/b"], ["00.zip", "00.zip", "x/01.zip", "02"]])
def test_images_come_from_folders_and_from_zips(tmp_path, places, method):
    write_annotation(tmp_path, [{"idx": idx, **labels(idx)} for idx in range(4)])
    write_images(tmp_path, {f"{place}/{idx}.png": png(idx) for idx, place in enumerate(places)}, method)
    assert rows_of(tmp_path) == expected(range(4))


def test_images_are_not_decoded(tmp_path, monkeypatch):
    write_release(tmp_path, ["00", "01.zip"])
    wanted = expected(range(2))
    monkeypatch.setattr(PIL.Image, "open", None)
    assert rows_of(tmp_path) == wanted


def test_rows_keep_the_order_of_the_annotation(tmp_path):
    order = [7, 0, 12345678901, 3]
    write_annotation(tmp_path, [{"idx": idx, **labels(idx)} for idx in order])
    write_images(tmp_path, {f"{idx:04d}.png": png(idx % 1000) for idx in order})
    rows = rows_of(tmp_path)
    assert [row["idx"] for row in rows] == order
    assert [row["image"] for row in rows] == [png(idx % 1000) for idx in order]


def test_a_slice_holds_its_rows_only(tmp_path):
    part = load_release(str(write_release(tmp_path, ["."] * 5))).split(2)[1]
    assert len(part) == 2
    assert part.idx.tolist() == [2, 3]
    assert [row["idx"] for table in part.tables(SCHEMA) for row in table.to_pylist()] == [2, 3]
    assert np.array_equal(part.codes, [[labels(idx)[name] for name in CONDITION_NAMES] for idx in (2, 3)])


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["0.png", "1.png"], ["Fundus/0.png", "Fundus/1.png"]),
        (["00/7.png", "01/7.png"], ["Fundus/00/7.png", "Fundus/01/7.png"]),
        (["00/7.png", "01/7.png"], ["00.zip/7.png", "01.zip/7.png"]),
        (["00/7.png", "01/7.png"], ["all.zip/00/7.png", "all.zip/01/7.png"]),
        (["./00/7.png", "/01/7.png"], ["00/7.png", "01/7.png"]),
        (["00\\7.PNG", "01\\7.png"], ["00/7.PNG", "01/7.png"]),
        (["7.png", "00/7.png"], ["7.png", "00/7.png"]),
    ],
)
def test_file_name_is_a_path_or_the_end_of_one(tmp_path, names, places):
    write_annotation(tmp_path, [{"file_name": name, **labels(idx)} for idx, name in enumerate(names)])
    write_images(tmp_path, {place: png(idx) for idx, place in enumerate(places)})
    assert rows_of(tmp_path) == expected(range(2))


def test_file_name_takes_precedence_and_idx_numbers_the_row(tmp_path):
    write_annotation(tmp_path, [{"idx": 5, "file_name": "a.png", **labels(5)}])
    write_images(tmp_path, {"a.png": png(5)})
    assert rows_of(tmp_path) == expected([5])


def test_cells_may_be_empty_or_whole_floats_and_the_eye_side_may_be_missing(tmp_path):
    row = {
        "idx": 0,
        "note": "x, y",
        **dict.fromkeys(LABEL_NAMES, " 0"),
        "dr_grade": "3.0",
        "is_amd": "",
        "is_gc": "nan",
    }
    path = write_annotation(tmp_path, [row], name="renamed.csv")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n")
    write_images(tmp_path, {"0.png": png(0)})
    unknown = {"is_amd": -1, "is_gc": -1, "eye_side": -1}
    assert rows_of(tmp_path) == [
        {"image": png(0), "idx": 0, **dict.fromkeys(LABEL_NAMES, 0), "dr_grade": 3, **unknown},
    ]


def test_files_that_operating_systems_add_are_ignored(tmp_path):
    write_release(tmp_path, ["00.zip"])
    write_images(tmp_path, {"00.zip/__MACOSX/._0.png": b"", "._0.png": b"", ".trash/0.png": b"", "LICENSE.txt": b""})
    assert rows_of(tmp_path) == expected([0])


def test_all_problems_are_listed_before_an_image_is_read(tmp_path, monkeypatch):
    rows = [{"idx": idx, **labels(idx)} for idx in (0, 1, 2, 3, 4, 4, 6, -7, 8, 9)]
    rows[1] |= {"dr_grade": 5, "is_amd": "yes"}
    rows[2] |= {"eye_side": 0.5}
    path = write_annotation(tmp_path, rows)
    with open(path, "a") as file:
        file.write("10,1,2\n")
    sound = (0, 1, 2, 4, 8, 9)
    write_images(tmp_path, {f"00/{idx}.png": png(idx) for idx in sound} | {"00/6.png": b"", "00.zip/8.png": png(8)})
    write_images(tmp_path, {"extra/100.png": png(100), "00.zip/cover.png": png(101), "broken.zip": b"PK"})
    monkeypatch.setattr(ImageFile, "read", None)
    assert sorted(refused(tmp_path).problems) == sorted(
        [
            Problem("bad values", "line 3: dr_grade is 5; allowed are 0 to 4, or None or -1 for unknown"),
            Problem(
                "bad values",
                "line 3: is_amd is 'yes' of type str; allowed are the integers 0 to 1, or None or -1 for unknown",
            ),
            Problem(
                "bad values",
                "line 4: eye_side is 0.5 of type float; allowed are the integers 0 to 1, or None or -1 for unknown",
            ),
            Problem("missing files", "line 5: 3.png"),
            Problem("duplicate idx", "line 6: idx is 4, as on line 7"),
            Problem("duplicate idx", "line 7: idx is 4, as on line 6"),
            Problem("empty files", "line 8: 00/6.png"),
            Problem("bad values", "line 9: idx is '-7'; allowed are integers of 0 or more"),
            Problem("ambiguous files", "line 10: 8.png may be any of 00.zip/8.png, 00/8.png"),
            Problem("bad lines", "line 12: 3 cells; allowed are 17, one per column"),
            Problem("extra files", "00.zip/cover.png"),
            Problem("extra files", "extra/100.png"),
            Problem("unreadable files", f"{tmp_path}/broken.zip: File is not a zip file"),
        ]
    )
    release, problems = scan_release(str(tmp_path))
    assert release.idx.tolist() == [0, 9]
    assert len(problems) == 13


def test_wrong_file_names_are_listed(tmp_path):
    names = ["a.png", "a.png", "b.gif", "", "../c.png", "00/d.png"]
    write_annotation(tmp_path, [{"file_name": name, **labels(idx)} for idx, name in enumerate(names)])
    write_images(tmp_path, {"a.png": png(0), "01/d.png": png(1)})
    assert refused(tmp_path).problems == [
        Problem("bad values", "line 4: file_name is 'b.gif'; allowed are names of PNG and JPEG files"),
        Problem("bad values", "line 5: file_name is ''; allowed are names of PNG and JPEG files"),
        Problem("shared files", "line 3: a.png is also the image of line 2"),
        Problem("missing files", "line 6: ../c.png"),
        Problem("missing files", "line 7: 00/d.png"),
        Problem("extra files", "01/d.png"),
    ]


def test_the_message_counts_everything_and_shows_a_few(tmp_path):
    write_annotation(tmp_path, [{"idx": idx, **labels(idx)} for idx in range(2000)])
    write_images(tmp_path, {"x.png": png(0)})
    error = refused(tmp_path)
    message = str(error)
    assert "2,000 missing files, 1 extra files" in message
    assert message.count("line ") == EXAMPLES
    assert "and 1,995 more" in message
    assert report(str(tmp_path), error.problems).count("line ") == 2000
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.problems) == (message, error.problems)


HEADER = ",".join(["idx", *LABEL_NAMES])


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, f"missing annotations:\n  {ANNOTATION}, a single other CSV file, or Parquet files with images"),
        ({"a.csv": HEADER, "b.csv": HEADER}, "there are a.csv, b.csv"),
        ({ANNOTATION: ""}, "16 missing columns"),
        ({ANNOTATION: "idx,file_name,eye_side"}, "15 missing columns"),
        ({ANNOTATION: HEADER.replace("idx", "index")}, "missing columns:\n  idx or file_name"),
        ({ANNOTATION: HEADER + ",is_gc"}, "repeated columns:\n  is_gc"),
        ({ANNOTATION: HEADER + "\n\n"}, "there is no row below the line of the columns"),
        ({ANNOTATION: "\udcff"}, "unreadable annotations:\n  'utf-8' codec can't decode"),
    ],
)
def test_invalid_releases_are_refused(tmp_path, files, said):
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))
    assert said in str(refused(tmp_path))


def test_a_missing_folder_is_refused(tmp_path):
    assert f"{tmp_path}/none: No such file or directory" in str(refused(tmp_path / "none"))


def test_zips_that_cannot_be_read_without_decoding_are_listed(tmp_path):
    write_annotation(tmp_path, [{"idx": 0, **labels(0)}])
    write_images(tmp_path, {"0.png": png(0), "packed.zip/1.png": png(1)}, zipfile.ZIP_BZIP2)
    write_images(tmp_path, {"locked.zip/1.png": png(1)})
    locked = bytearray((tmp_path / "locked.zip").read_bytes())
    locked[locked.rindex(b"PK\x01\x02") + 8] |= 1  # the flag of an encrypted file, in the zip's directory
    (tmp_path / "locked.zip").write_bytes(locked)
    assert refused(tmp_path).problems == [
        Problem("unreadable files", f"{tmp_path}/locked.zip: holds an encrypted image, 1.png"),
        Problem(
            "unreadable files",
            f"{tmp_path}/packed.zip: holds 1.png, compressed by method 12; allowed: stored and deflated",
        ),
    ]


def spoil(content: bytes) -> bytes:
    """Changes a byte in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_all_bad_images_are_listed_after_all_were_read(tmp_path):
    bad = {
        "0.png": (b"GIF89a", "is neither a PNG nor a JPEG file"),
        "1.png": (png(1)[:-20], "is truncated"),
        "2.png": (spoil(png(2)), "is damaged: wrong checksum in its chunk b'IDAT'"),
        "3.png": (png(3, (512, 256)), "has 512x256 pixels; allowed are 512x512"),
        "a.zip/4.png": (b"GIF89a", "is neither a PNG nor a JPEG file"),
    }
    write_annotation(tmp_path, [{"idx": idx, **labels(idx)} for idx in range(6)])
    write_images(tmp_path, {name: content for name, (content, _) in bad.items()} | {"5.png": png(5)})
    tables = []
    with pytest.raises(PublishedReleaseError) as caught:
        tables += load_release(str(tmp_path)).tables(SCHEMA)
    assert not tables
    assert caught.value.problems == [
        Problem("bad images", f"{name} (idx {idx}) {why}") for idx, (name, (_, why)) in enumerate(bad.items())
    ]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_or_changed_zip_is_noticed(tmp_path, method):
    write_annotation(tmp_path, [{"idx": 0, **labels(0)}])
    write_images(tmp_path, {"a.zip/0.png": png(0)}, method)
    whole = (tmp_path / "a.zip").read_bytes()
    for content in (spoil(whole), b"", b"x" * len(whole)):
        (tmp_path / "a.zip").write_bytes(whole)
        release = load_release(str(tmp_path))
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(
            PublishedReleaseError, match=r"a\.zip/0\.png \(idx 0\) (is damaged|is not at the offset|cannot be unpacked)"
        ):
            list(release.tables(SCHEMA))
    (tmp_path / "a.zip").unlink()
    with pytest.raises(PublishedReleaseError, match="cannot be read: No such file"):
        list(release.tables(SCHEMA))
