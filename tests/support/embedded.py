"""What the tests of embedded C++ share: folders, builds of them with sanitizers, and images to send there."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlretrieve

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from support.models import Models
from support.needs import missing
from support.places import TESTS

from convnext_edge import embed
from convnext_edge.artifacts.digests import sha256
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.embed.archives import PINS
from convnext_edge.cpu import Machine
from convnext_edge.evaluation.candidates import open_session
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import normalize, preprocess
from convnext_edge.targets.base import Outputs

HARNESS = TESTS / "fixtures" / "cpp"
MANIFEST = "convnext_edge.txt"
SANITIZERS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O0"
PEDANTIC = "-Werror -Wconversion -Wshadow"

Pixels = NDArray[np.uint8]  # (height, width, 3)
SIZES = [
    (1, 1),
    (1, 7),
    (9, 1),
    (2, 3),
    (64, 64),
    (63, 65),
    (73, 73),
    (90, 400),
    (224, 31),
    (301, 500),
    (640, 427),
]


def run(*command: str | Path, cwd: Path | None = None, given: bytes = b"") -> bytes:
    """The standard output of a command that must succeed."""
    done = attempt(*command, cwd=cwd, given=given)
    assert done.returncode == 0, (done.stdout[-4000:] + done.stderr[-4000:]).decode("utf-8", "replace")
    return done.stdout


def attempt(
    *command: str | Path, cwd: Path | None = None, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run a command that may fail."""
    # OpenVINO and ONNX Runtime keep some objects until the process ends, which no test can change.
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
    return subprocess.run(command, cwd=cwd, input=given, env=environment, capture_output=True, check=False)


Embedded = Callable[..., Path]  # the folder for a runtime and, where wanted, a type of input


@dataclass(frozen=True)
class Build:
    """A harness and the sample, built against the library of one runtime. emulator: what runs them."""

    harness: Path
    sample: Path
    emulator: tuple[str | Path, ...] = ()

    def answer(self, model: Path, mode: str, images: Sequence[Pixels] = (), threads: int = 0) -> bytes:
        return run(*self.emulator, self.harness, model, mode, str(threads), given=packed(images))

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


def build_sanitized(folder: Path, place: Path, runtime: str, cache: Path) -> Build:
    """A build of `folder` that the sanitizers watch. cache: where headers that are fetched stay.

    The sample, which is the same for all runtimes, is built with OpenVINO's alone.
    """
    if runtime == "openvino":
        return build(folder, place, openvino_options(), sanitized(place))
    options = [*onnxruntime_options(cache), "-DCONVNEXT_EDGE_SAMPLE=OFF"]
    return build(folder, place, options, sanitized(place))


def sanitized(place: Path) -> list[str]:
    """Options of a build that AddressSanitizer and UndefinedBehaviorSanitizer watch."""
    run("c++", "-c", HARNESS / "dlopen.cpp", "-o", place / "dlopen.o")
    return [
        f"-DCMAKE_CXX_FLAGS={SANITIZERS} {PEDANTIC}",
        "-DCMAKE_BUILD_TYPE=None",
        f"-DCMAKE_EXE_LINKER_FLAGS={place / 'dlopen.o'}",
        # half as long; the tests of printed commands build file by file
        *("-DCMAKE_UNITY_BUILD=ON", "-DCMAKE_UNITY_BUILD_BATCH_SIZE=0"),
    ]


def openvino_options() -> list[str]:
    """Return the option that leads CMake to the OpenVINO of this environment."""
    spec = find_spec("openvino")
    assert spec is not None
    assert spec.origin is not None
    return [f"-DOpenVINO_DIR={Path(spec.origin).parent / 'cmake'}"]


def onnxruntime_options(cache: Path) -> list[str]:
    """A folder like a release archive, of the wheel's library and the headers that CMake would fetch."""
    root = cache / "onnxruntime"
    spec = find_spec("onnxruntime")
    assert spec is not None
    assert spec.origin is not None
    (library,) = (Path(spec.origin).parent / "capi").glob("libonnxruntime.so.*")
    (root / "lib").mkdir(parents=True, exist_ok=True)
    links = {root / "lib" / name: library for name in ("libonnxruntime.so", "libonnxruntime.so.1")}
    for link, place in {**links, root / "include": onnxruntime_headers(cache)}.items():
        link.unlink(missing_ok=True)
        link.symlink_to(place)
    return [f"-DONNXRuntime_ROOT={root}"]


def onnxruntime_headers(cache: Path) -> Path:
    """The folder of the headers, whose archive is downloaded once."""
    folder = cache / "onnxruntime-headers"
    if not folder.is_dir():
        archive = downloaded("onnxruntime_headers", "any", cache)
        with tempfile.TemporaryDirectory(dir=cache) as place:  # other tests may do the same now
            run("cmake", "-E", "tar", "xf", archive, cwd=Path(place))
            run("cmake", "-E", "tar", "xf", "data.tar.xz", cwd=Path(place))
            with suppress(OSError):  # it is there by now
                Path(place, "usr", "include").rename(folder)
    return folder


def downloaded(name: str, machine: str, cache: Path) -> Path:
    """The file of a pinned archive in `cache`, where the builds of the tests find it too."""
    pin = json.loads(PINS.read_text(encoding="utf-8"))[name]["archives"][machine]
    path = cache / str(pin["file"])
    if not path.is_file() or sha256(path) != pin["sha256"]:
        part = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            urlretrieve(pin["urls"][0], part)
        except OSError as error:
            missing(f"{pin['urls'][0]} cannot be fetched: {error}")
        assert sha256(part) == pin["sha256"]
        part.rename(path)
    return path


def embed_small(
    models: Models,
    output: Path,
    runtime: str,
    input_type: str = "float32",
    machine: Machine | None = None,
) -> Path:
    """The folder of the small INT8 model. machine: that both are for; None for x86-64, to be built here."""
    usual: Machine = "x86-64"
    quantized = models.quantized(runtime, "ptq", input_type, machine=machine or usual)  # type: ignore[arg-type]
    engine = models.engine(runtime, quantized)
    return embed(engine, lang="cpp", machine=machine, output=output).directory


def noise(width: int, height: int) -> Pixels:
    """Full of edges from 0 to 255, which make a resize overshoot."""
    generator = np.random.default_rng(width + 1000 * height)
    return generator.choice(np.array([0, 30, 200, 255], np.uint8), (height, width, 3))


def photographs(count: int) -> list[Pixels]:
    """Of the demo's, a third of them in other sizes."""
    found = open_image_set("demo", split="evaluation").subset(count, seed=0)
    batches = found.batches(Preprocessing(32, 1.0), batch=50, dtype="uint8")
    squares = np.concatenate([batch.images for batch in batches])
    sizes = [(32, 32), (32, 32), (91, 57)]
    photos = (Image.fromarray(square.transpose(1, 2, 0)) for square in squares)
    return [np.array(photo.resize(sizes[number % 3])) for number, photo in enumerate(photos)]


def python_logits(folder: Path, images: list[Pixels]) -> NDArray[np.float32]:
    """(N, classes) of the engine in `folder`, one image a call, as C++ runs it."""
    return np.concatenate([outputs[0] for outputs in python_outputs(folder, images)])


def python_outputs(folder: Path, images: list[Pixels]) -> list[Outputs]:
    """All outputs of the engine in `folder` for each image, (1, ...), one image a call."""
    (sidecar,) = (folder / "model").glob("*.json")
    artifact = open_artifact(sidecar.with_suffix(""))
    description = artifact.description
    squares = [preprocess(Image.fromarray(image), description.preprocessing) for image in images]
    batches = [np.ascontiguousarray(square.transpose(2, 0, 1)[None]) for square in squares]
    with open_session(artifact, str(description.target)) as session:
        floats = description.input_type == "float32"
        return [session.run_all(normalize(b, description.preprocessing) if floats else b) for b in batches]
