"""What the tests of embedded C++ share: folders, builds of them with sanitizers, and images to send there."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

HARNESS = Path(__file__).parent / "fixtures" / "cpp"
MANIFEST = "convnext_edge.txt"
# API 29, the newest that npm has; ONNX Runtime's libraries serve programs made for older headers
HEADERS = "com.github.asus4.onnxruntime@0.4.9"
SANITIZERS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1"
PEDANTIC = "-Werror -Wconversion -Wshadow"

Pixels = NDArray[np.uint8]  # (height, width, 3)


def run(*command: str | Path, cwd: Path | None = None, given: bytes = b"") -> bytes:
    """The standard output of a command that must succeed."""
    done = attempt(*command, cwd=cwd, given=given)
    assert done.returncode == 0, (done.stdout[-4000:] + done.stderr[-4000:]).decode("utf-8", "replace")
    return done.stdout


def attempt(
    *command: str | Path, cwd: Path | None = None, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    # OpenVINO and ONNX Runtime keep some objects until the process ends, which no test can change.
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
    return subprocess.run(command, cwd=cwd, input=given, env=environment, capture_output=True, check=False)


@dataclass(frozen=True)
class Build:
    """A harness and the sample, built against the library of one runtime. emulator: runs them, if anything."""

    harness: Path
    sample: Path
    emulator: tuple[str | Path, ...] = ()

    def answer(self, model: Path, mode: str, images: Sequence[Pixels] = ()) -> bytes:
        return run(*self.emulator, self.harness, model, mode, given=packed(images))

    def lines(self, model: Path, mode: str, images: Sequence[Pixels] = ()) -> list[str]:
        return self.answer(model, mode, images).decode().splitlines()


def packed(images: Iterable[Pixels], padding: int = 0) -> bytes:
    """As the harness reads them; padding: bytes behind each row but the last."""
    parts = []
    for image in images:
        height, width, _ = image.shape
        stride = 3 * width + padding if padding else 0
        rows = (bytes(padding).join(row.tobytes() for row in image)) if height else b""
        parts.append(struct.pack("iii", width, height, stride) + rows)
    return b"".join(parts)


def build(folder: Path, place: Path, runtime: Sequence[str], common: Sequence[str] = ()) -> Build:
    """Build and install `folder`, and build the harness against what was installed.

    runtime: options that say where it is, which an application need not repeat. common: of both builds.
    """
    prefix = place / "prefix"
    run(
        *("cmake", "-S", folder, "-B", place / "library", f"-DCMAKE_INSTALL_PREFIX={prefix}"),
        *(*runtime, *common),
    )
    run("cmake", "--build", place / "library", "--target", "install")
    run("cmake", "-S", HARNESS, "-B", place / "harness", f"-DCMAKE_PREFIX_PATH={prefix}", *common)
    run("cmake", "--build", place / "harness")
    return Build(place / "harness" / "harness", place / "library" / "classify")


def sanitized(place: Path) -> list[str]:
    """Options of a build that AddressSanitizer and UndefinedBehaviorSanitizer watch."""
    run("c++", "-c", HARNESS / "dlopen.cpp", "-o", place / "dlopen.o")
    return [
        f"-DCMAKE_CXX_FLAGS={SANITIZERS} {PEDANTIC}",
        "-DCMAKE_BUILD_TYPE=None",
        f"-DCMAKE_EXE_LINKER_FLAGS={place / 'dlopen.o'}",
    ]


def openvino_options() -> list[str]:
    spec = find_spec("openvino")
    assert spec is not None
    assert spec.origin is not None
    return [f"-DOpenVINO_DIR={Path(spec.origin).parent / 'cmake'}"]


def onnxruntime_options(cache: Path) -> list[str]:
    """A folder like a release archive: the wheel's library, and headers from npm, which are fetched once."""
    root = cache / "onnxruntime"
    if not (root / "include").is_dir():
        fetch_headers(cache, root)
    spec = find_spec("onnxruntime")
    assert spec is not None
    assert spec.origin is not None
    (library,) = (Path(spec.origin).parent / "capi").glob("libonnxruntime.so.*")
    (root / "lib").mkdir(exist_ok=True)
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        link = root / "lib" / name
        link.unlink(missing_ok=True)
        link.symlink_to(library)
    return [f"-DONNXRuntime_ROOT={root}"]


def fetch_headers(cache: Path, root: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip(f"the headers of ONNX Runtime come from npm ({HEADERS}), which is not here")
    done = subprocess.run(
        ["npm", "pack", "--silent", HEADERS], cwd=cache, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"npm cannot fetch the headers of ONNX Runtime: {done.stderr.strip()[-200:]}")
    (archive,) = cache.glob("*.tgz")
    made = root / "include.part"
    made.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as members:
        for member in members:
            found = re.search(r"xcframework/ios-arm64/onnxruntime\.framework/Headers/(\w+\.h)$", member.name)
            if found:
                data = members.extractfile(member)
                assert data is not None
                (made / found[1]).write_bytes(data.read())
    archive.unlink()
    made.rename(root / "include")
