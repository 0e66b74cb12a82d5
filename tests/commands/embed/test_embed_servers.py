"""Model repositories for inference servers: configurations against their schemas, and the client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import onnxruntime
import openvino
import pytest
from google.protobuf.text_format import ParseError
from pydantic import BaseModel, ConfigDict, ValidationError
from support.models import CLASSES, RESOLUTION, Models
from support.places import ROOT
from support.triton_schema import parse_config

from convnext_edge import embed, predict
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.embed import servers, triton
from convnext_edge.commands.embed.command import Embed
from convnext_edge.errors import UsageError

Make = Callable[..., Embed]
ENGINES = ("openvino", "onnxruntime")


@pytest.fixture(scope="module")
def made(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """The folder for a server, of the small INT8 engine for a runtime and a type of input."""

    @cache
    def make(lang: Any, target: str, input_type: Any = "float32") -> Embed:
        engine = models.engine(target, models.quantized(target, input_type=input_type))
        return embed(engine, lang=lang, output=tmp_path_factory.mktemp("served") / "folder")

    return make


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def config_of(made: Embed) -> Any:
    return parse_config(only(made.directory, "models/*/config.pbtxt").read_text("utf-8"))


def tensors_of(engine: Path) -> dict[str, tuple[str, list[int]]]:
    """Name, type and shape of the inputs and outputs, as the runtime itself tells them; -1: any length."""
    if engine.suffix == ".xml":
        model = openvino.Core().read_model(engine)
        return {
            port.get_any_name(): (
                port.get_element_type().get_type_name(),
                [-1 if d.is_dynamic else d.get_length() for d in port.get_partial_shape()],
            )
            for port in (*model.inputs, *model.outputs)
        }
    session = onnxruntime.InferenceSession(engine)
    kinds = {"tensor(float)": "f32", "tensor(uint8)": "u8"}
    return {
        port.name: (kinds[port.type], [d if isinstance(d, int) else -1 for d in port.shape])
        for port in (*session.get_inputs(), *session.get_outputs())
    }


@pytest.mark.parametrize("target", ENGINES)
@pytest.mark.parametrize("input_type", ["float32", "uint8"])
def test_triton_is_told_what_the_engine_takes_and_answers(made: Make, target: str, input_type: str) -> None:
    folder = made("triton", target, input_type)
    config = config_of(folder)
    engine = only(folder.directory, f"models/*/1/{config.default_model_filename}")
    assert engine.parents[1].name == config.name
    assert config.backend == target
    kinds = {2: "u8", 11: "f32"}  # TYPE_UINT8, TYPE_FP32
    batch = [-1] if config.max_batch_size else []  # which Triton leaves out of the shapes then
    told = {each.name: (kinds[each.data_type], batch + list(each.dims)) for each in config.input}
    told |= {each.name: (kinds[each.data_type], batch + list(each.dims)) for each in config.output}
    assert told == tensors_of(engine)


def test_triton_joins_requests_where_its_backend_takes_batches_of_any_size(made: Make) -> None:
    """The backend for OpenVINO compiles for the largest batch alone."""
    by_runtime = config_of(made("triton", "onnxruntime"))
    assert by_runtime.max_batch_size == triton.MAX_BATCH
    assert by_runtime.HasField("dynamic_batching")
    alone = config_of(made("triton", "openvino"))
    assert (alone.max_batch_size, alone.HasField("dynamic_batching")) == (0, False)
    assert {key: value.string_value for key, value in entries(alone)} == {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
    }
    assert [(group.count, group.kind) for group in alone.instance_group] == [(1, 2)]  # KIND_CPU


def entries(config: Any) -> list[tuple[str, Any]]:
    return [(entry.key, entry.value) for entry in config.parameters]


def test_labels_are_where_triton_looks_for_them(made: Make) -> None:
    folder = made("triton", "onnxruntime")
    (output,) = config_of(folder).output
    labels = only(folder.directory, "models/*") / output.label_filename
    assert len(labels.read_text("utf-8").splitlines()) == CLASSES


def test_names_with_quotes_are_read_back_as_they_are() -> None:
    name = 'a "b" \\ ü\n'
    assert parse_config(f"name: {triton.quoted(name)}").name == name


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("tiny-int8-onnxruntime.opt.onnx", "tiny-int8-onnxruntime"),
        ("v1.2_a.xml", "v1.2_a"),
        ("my model.xml", "my_model"),
        ('-a"b ü.engine', "a_b_"),
        (".hidden.xml", "hidden"),
        ("..xml", "model"),
        ("模型.xml", "model"),
    ],
)
def test_a_model_has_a_name_that_servers_and_urls_take(
    engine: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(servers, "note", told.append)
    assert servers.name_in_repository(Path(engine)) == name
    assert bool(told) == (not engine.startswith(name))


def test_the_schema_refuses_what_triton_would_refuse() -> None:
    for wrong in ('nam: "x"', "max_batch_size: x", "input [ { data_type: TYPE_FLOAT } ]"):
        with pytest.raises(ParseError):
            parse_config(wrong)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ModelConfig(Strict):
    """Keys of OpenVINO Model Server's schema (src/schema.cpp) that say something of our models."""

    name: str
    base_path: str
    batch_size: int | str = 0
    shape: dict[str, str] | str = ""
    nireq: int = 0
    target_device: str = "CPU"
    plugin_config: dict[str, Any] = {}


class Entry(Strict):
    config: ModelConfig


class Config(Strict):
    model_config_list: list[Entry]


def test_openvino_model_server_gets_what_its_schema_has(made: Make) -> None:
    folder = made("ovms", "openvino")
    text = (folder.directory / "config.json").read_text("utf-8")
    (entry,) = Config.model_validate_json(text).model_config_list
    place = folder.directory / entry.config.base_path
    engine = only(place, "1/*.xml")
    assert engine.with_suffix(".bin").exists()
    # as it would be compiled there: each option is known to the plugin, and kept
    options = entry.config.plugin_config
    compiled = openvino.Core().compile_model(engine, entry.config.target_device, options)
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32
    assert str(compiled.get_property("PERFORMANCE_HINT")).endswith("THROUGHPUT")
    with pytest.raises(ValidationError):
        Config.model_validate({"model_config_list": [{"config": {"name": "x", "path": "y"}}]})


@pytest.mark.parametrize(
    ("lang", "target"), [("triton", "openvino"), ("triton", "onnxruntime"), ("ovms", "openvino")]
)
def test_the_engine_arrives_with_a_sidecar_that_fits(made: Make, lang: str, target: str) -> None:
    sidecar = only(made(lang, target).directory, "models/*/1/*.json")
    artifact = open_artifact(sidecar.with_suffix(""))  # which checks the digests
    assert artifact.description.target == target


@pytest.mark.parametrize("lang", ["triton", "ovms"])
def test_the_readme_tells_how_images_are_prepared_and_what_is_unverified(made: Make, lang: str) -> None:
    folder = made(lang, "openvino")
    text = " ".join((folder.directory / "README.md").read_text("utf-8").split())
    assert f"centre {RESOLUTION}x{RESOLUTION}" in text
    assert "mean 0.485 0.456 0.406, std 0.229 0.224 0.225" in text
    assert f"(N, 3, {RESOLUTION}, {RESOLUTION}), FP32" in text
    assert f"`logits` (N, {CLASSES}) of FP32" in text
    assert "neither met a running server" in text
    assert folder.unverified in folder.to_json()["unverified"]
    assert "neither met a running server" in " ".join(folder.summary().split())
    assert "$" not in text.replace('"$PWD', "")
    assert folder.build_command in text


def test_who_takes_openvino_in_triton_is_told_of_its_precision(made: Make) -> None:
    (warning,) = made("triton", "openvino").warnings
    assert "cannot be told to compute in FP32" in warning
    assert made("triton", "onnxruntime").warnings == ()
    assert made("ovms", "openvino").warnings == ()


def test_engines_of_other_runtimes_are_refused(models: Models, tmp_path: Path) -> None:
    engine = models.engine("torch", models.quantized())
    with pytest.raises(UsageError, match="engine for torch, which Triton does not run"):
        embed(engine, lang="triton", output=tmp_path / "a")
    engine = models.engine("onnxruntime", models.quantized("onnxruntime"))
    with pytest.raises(UsageError, match="OpenVINO Model Server runs those for openvino"):
        embed(engine, lang="ovms", output=tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


class Server(BaseHTTPRequestHandler):
    """A stand-in: the Open Inference Protocol with binary data, and nothing else, by the ONNX Runtime itself.

    https://github.com/kserve/open-inference-protocol, and Triton's extension for binary tensors.
    """

    session: onnxruntime.InferenceSession
    name: str

    def do_POST(self) -> None:
        assert self.path == f"/v2/models/{self.name}/infer"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        length = int(self.headers["Inference-Header-Content-Length"])
        (tensor,) = json.loads(body[:length])["inputs"]
        raw = body[length:]
        assert tensor["parameters"]["binary_data_size"] == len(raw)
        kinds = {"FP32": np.float32, "UINT8": np.uint8}
        image = np.frombuffer(raw, kinds[tensor["datatype"]]).reshape(tensor["shape"])
        (logits,) = self.session.run(None, {tensor["name"]: image})
        output = {"name": "logits", "datatype": "FP32", "shape": list(logits.shape)}
        answer = {"model_name": self.name, "outputs": [{**output, "data": logits.ravel().tolist()}]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the stand-in, with the engine of a folder."""
    engine = only(folder, "models/*/1/*.opt.onnx")
    kind = type(
        "Of", (Server,), {"session": onnxruntime.InferenceSession(engine), "name": engine.parents[1].name}
    )
    server = HTTPServer(("127.0.0.1", 0), kind)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("input_type", ["float32", "uint8"])
def test_the_client_gets_the_answers_of_predict(made: Make, models: Models, input_type: str) -> None:
    folder = made("triton", "onnxruntime", input_type).directory
    picture = next(models.photos.rglob("*.png"))
    with served(folder) as url:
        done = subprocess.run(
            [sys.executable, folder / "client.py", picture, "--url", url],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head == str(picture)
    engine = only(folder, "models/*/1/*.opt.onnx")
    (wanted,) = predict(engine, [picture], top=5).to_json()["predictions"]
    told = [(row.split("%")[1].strip(), float(row.split("%")[0])) for row in rows]
    assert [label for label, _ in told] == [str(each["label"]) for each in wanted["top"]]
    assert [share for _, share in told] == pytest.approx(
        [100 * each["probability"] for each in wanted["top"]], abs=0.01
    )
