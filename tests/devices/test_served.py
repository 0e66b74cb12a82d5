"""The program on a device by itself: what it answers to frames, and to bytes that are none."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.places import TESTS

from convnext_edge import build, export
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.on_device import write_model
from convnext_edge.cpu import usable_cpus
from convnext_edge.devices.program import Program
from convnext_edge.evaluation.candidates import open_session

pytestmark = [pytest.mark.programs("cmake", "c++"), pytest.mark.slow]

Serve = Callable[[bytes], subprocess.CompletedProcess[bytes]]
IMAGE = 4 * 3 * 64 * 64  # bytes
MEMORY = 2**19  # KiB of addresses: ONNX Runtime needs less, a frame of 4 GiB more


@pytest.fixture(scope="module")
def serve(engine: Path, program: Program, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Run the program on what it is to read, in little memory."""
    folder = tmp_path_factory.mktemp("served") / "model"
    write_model(open_artifact(engine), folder)
    words = [program.folder / "bin" / "serve", "--model", folder, "--threads", "1"]
    limited = ["bash", "-c", f'ulimit -v {MEMORY}; exec "$@"', "bash", *words]
    return lambda given: subprocess.run(limited, input=given, capture_output=True, timeout=60, check=False)


def frame(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack("<cI", kind, len(content)) + content


def frames(answer: bytes) -> list[tuple[bytes, bytes]]:
    found = []
    while answer:
        kind, length = struct.unpack_from("<cI", answer)
        found.append((kind, answer[5 : 5 + length]))
        answer = answer[5 + length :]
    return found


def test_it_says_what_it_is_answers_images_and_times_calls(
    serve: Serve, engine: Path, batch: dict[str, np.ndarray]
) -> None:
    images, artifact = batch["float32"][:3], open_artifact(engine)
    done = serve(frame(b"I", images.tobytes()) + frame(b"T", struct.pack("<I", 7)) + frame(b"Q"))
    assert done.returncode == 0, done.stderr
    (h, hello), (o, outputs), (t, times) = frames(done.stdout)
    assert (h, o, t) == (b"H", b"O", b"T")
    told = json.loads(hello)
    assert told["sha256"] == artifact.sha256
    assert (told["input_shape"], told["input_type"], told["threads"]) == ([3, 64, 64], "float32", 1)
    assert told["outputs"] == [{"name": "logits", "shape": [10]}]
    with open_session(artifact, "onnxruntime", 1) as session:
        expected = session.run(images)
    np.testing.assert_allclose(np.frombuffer(outputs, "<f4").reshape(3, 10), expected, atol=1e-4)
    assert len(json.loads(times)["milliseconds"]) == 7
    assert min(json.loads(times)["milliseconds"]) > 0


def test_a_segmenter_answers_each_pixel_and_takes_as_many_images_as_their_answers_have_room(
    program: Program, tmp_path: Path
) -> None:
    checkpoint = TESTS / "fixtures" / "segmentation" / "hf_upernet"
    model = export(checkpoint=checkpoint, resolution=64, workspace=tmp_path)
    artifact = open_artifact(build(model.artifact, target="onnxruntime", workspace=tmp_path).engine)
    write_model(artifact, tmp_path / "model")
    images = np.random.default_rng(0).standard_normal((2, 3, 64, 64), np.float32)
    words = [program.folder / "bin" / "serve", "--model", tmp_path / "model", "--threads", "1"]
    given = frame(b"I", images.tobytes()) + frame(b"Q")
    done = subprocess.run(words, input=given, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (_, hello), (_, outputs) = frames(done.stdout)
    told = json.loads(hello)
    assert told["outputs"] == [{"name": "logits", "shape": [7, 64, 64]}]
    assert told["most_images"] == 2**25 // (4 * 7 * 64 * 64)  # bytes of an answer
    with open_session(artifact, "onnxruntime", 1) as session:
        expected = session.run(images)
    np.testing.assert_allclose(np.frombuffer(outputs, "<f4").reshape(2, 7, 64, 64), expected, atol=1e-4)


def test_it_ends_in_peace_where_nothing_more_is_asked(serve: Serve) -> None:
    done = serve(b"")
    assert (done.returncode, done.stderr, [kind for kind, _ in frames(done.stdout)]) == (0, b"", [b"H"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (struct.pack("<cI", b"I", 2**32 - 1), "a frame has 4294967295 bytes, at most"),
        (frame(b"I", bytes(IMAGE - 1)), f"which is no multiple of {IMAGE}"),
        (frame(b"I"), "images have 0 bytes"),
        (struct.pack("<cI", b"I", IMAGE) + bytes(10), "standard input ends in a frame"),
        (b"I\x00", "standard input ends in the header"),
        (frame(b"?"), "a frame is of kind 63"),
        (frame(b"T"), "a number of calls"),
        (frame(b"T", struct.pack("<I", 0)), "a number of calls"),
        (frame(b"T", struct.pack("<I", 2**32 - 1)), "a number of calls"),
        (b"GET / HTTP/1.1\r\n\r\n", "bytes, at most"),
    ],
)
def test_what_is_no_frame_is_an_error_and_the_end(serve: Serve, given: bytes, said: str) -> None:
    done = serve(given)
    (_, (kind, text)) = frames(done.stdout)
    assert kind == b"E"
    assert said in text.decode()
    assert done.returncode == 2
    assert said in done.stderr.decode()


@pytest.mark.parametrize("value", ["0", "-1", "1e9", "99999999999", "two", "1 2"])
def test_a_wrong_number_of_threads_is_said_to_be_none(program: Program, value: str) -> None:
    words = [program.folder / "bin" / "serve", "--threads", value]
    done = subprocess.run(words, input="", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--threads {value} is no whole number from 1" in done.stderr


def test_threads_are_bounded_and_a_closed_standard_input_is_an_error(
    program: Program, engine: Path, tmp_path: Path
) -> None:
    """Where standard input is closed, the next file that is opened gets its number."""
    write_model(open_artifact(engine), tmp_path / "model")
    words = [program.folder / "bin" / "serve", "--model", tmp_path / "model", "--threads", "100000"]
    done = subprocess.run(words, input=b"", capture_output=True, timeout=60, check=False)
    assert (done.returncode, b"--threads 100000 is more than the" in done.stderr) == (0, True)
    ((kind, hello),) = frames(done.stdout)
    assert (kind, json.loads(hello)["threads"]) == (b"H", usable_cpus())
    closed = ["sh", "-c", 'exec "$@" <&-', "sh", *words[:3]]
    done = subprocess.run(closed, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"there is no standard input" in done.stderr


def test_a_program_of_ours_makes_no_file_for_reports_of_its_use(
    program: Program, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ONNX Runtime's library of PyPI would."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    write_model(open_artifact(engine), tmp_path / "model")
    words = [program.folder / "bin" / "serve", "--model", tmp_path / "model"]
    subprocess.run(words, input=b"", capture_output=True, timeout=60, check=True)
    assert list((tmp_path / "temporary").iterdir()) == []
