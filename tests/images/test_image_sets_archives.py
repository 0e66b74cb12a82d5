"""Image sets in .zip and .tar archives."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest
from support.image_sets import refusal, save_class_folders, save_photo

from convnext_edge.errors import ImageSetError
from convnext_edge.images.opening import open_image_set


def archive_of(folder: Path, suffix: str) -> Path:
    target = folder.with_name(f"{folder.name}{suffix}")
    if suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for file in folder.rglob("*"):
                archive.write(file, file.relative_to(folder))
    else:
        with tarfile.open(target, "w:gz" if suffix != ".tar" else "w") as archive:
            archive.add(folder, ".")
    return target


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tgz"])
@pytest.mark.parametrize("wrapper", ["", "val"])
def test_an_archive_is_the_same_set_as_its_folder(tmp_path: Path, suffix: str, wrapper: str) -> None:
    folder = tmp_path / "pets"
    save_class_folders(folder / wrapper, "cat", "owl")
    save_photo(folder / "__MACOSX" / "._0.jpg")
    archive = open_image_set(str(archive_of(folder, suffix)))
    assert archive.classes == ("cat", "owl")
    assert archive.entries == open_image_set(str(folder)).entries
    assert archive.digest == open_image_set(str(folder)).digest


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_a_label_file_is_found_in_an_archive(tmp_path: Path, suffix: str) -> None:
    for index in range(3):
        save_photo(tmp_path / "flat" / f"{index}.jpg", index)
    (tmp_path / "flat" / "val_map.txt").write_text("0.jpg 5\n1.jpg 3\n2.jpg 5\n")
    images = open_image_set(str(archive_of(tmp_path / "flat", suffix)))
    assert [entry.label for entry in images.entries] == [5, 3, 5]


@pytest.mark.parametrize("name", ["../outside.jpg", "/etc/passwd.jpg", "C:/windows.jpg", "a/../../b.jpg"])
def test_an_archive_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(name, b"x")
    assert f"points outside of the archive: {name}" in refusal(tmp_path / "evil.zip").message


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_a_damaged_archive_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(b"this is not an archive")
    assert f"{path} is not a readable archive" in refusal(path).message


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_an_archive_that_was_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    save_class_folders(tmp_path / "pets", "cat", "owl")
    path = archive_of(tmp_path / "pets", suffix)
    last_image = path.read_bytes().rfind(b"\xff\xd9") if suffix == ".tar" else path.stat().st_size // 2
    path.write_bytes(path.read_bytes()[: last_image - 100])
    assert "get it again" in refusal(path).hint


def test_a_damaged_member_of_a_zip_is_named(tmp_path: Path) -> None:
    save_class_folders(tmp_path / "pets", "cat", "owl")
    path = archive_of(tmp_path / "pets", ".zip")
    data = bytearray(path.read_bytes())
    data[data.find(b"JFIF")] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(ImageSetError, match=r"\d\.jpg is damaged in .*CRC"):
        _ = open_image_set(str(path)).digest


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"x")
    data = bytearray(path.read_bytes())
    data[data.find(b"PK\x01\x02") + 8] |= 1  # general purpose flags in the central directory
    path.write_bytes(bytes(data))
    assert "is encrypted" in refusal(path).message


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convnext_edge.images.archives.MAX_MEMBER_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes(5000))
    with pytest.raises(ImageSetError, match=r"a\.jpg unpacks to 5000 bytes, more than 1000"):
        _ = open_image_set(str(tmp_path / "bomb.zip")).digest


def test_a_compressed_tar_that_does_not_fit_into_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convnext_edge.images.archives.MAX_COMPRESSED_TAR_BYTES", 500)
    save_class_folders(tmp_path / "pets", "cat", "owl")
    error = refusal(archive_of(tmp_path / "pets", ".tar.gz"))
    assert "more than 500 bytes" in error.message
    assert "uncompressed .tar" in error.hint
