"""Ask the server about pictures.

It needs `pip install convnext-edge`, whose preprocessing it takes, and the folder that it is in. The protocol
is Open Inference (KServe v2) over HTTP, with the pixels as bytes behind the JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np

from convnext_edge.artifacts.artifact import Description
from convnext_edge.artifacts.sidecar import read_sidecar
from convnext_edge.images.decoding import decode
from convnext_edge.images.transform import normalize, preprocess

FOLDER = Path(__file__).parent
DATATYPES = {"float32": "FP32", "uint8": "UINT8"}


def prepare(picture: Path, described: Description) -> np.ndarray:
    """Return the input of the model (1, channels, H, W)."""
    prepared = described.preprocessing
    image = decode(picture.read_bytes(), len(prepared.mean), exif=prepared.exif)
    pixels = np.ascontiguousarray(preprocess(image, prepared).transpose(2, 0, 1)[None])
    return pixels if described.input_type == "uint8" else normalize(pixels, prepared)


def infer(url: str, name: str, image: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of the model by name."""
    content = image.tobytes()
    tensor = {
        "name": "image",
        "shape": list(image.shape),
        "datatype": DATATYPES[str(image.dtype)],
        "parameters": {"binary_data_size": len(content)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    with urlopen(Request(f"{url}/v2/models/{quote(name)}/infer", head + content, headers)) as response:
        answer = json.load(response)
    return {
        output["name"]: np.array(output["data"], np.float32).reshape(output["shape"])
        for output in answer["outputs"]
    }


def told(outputs: dict[str, np.ndarray], task: str, labels: list[str]) -> str:
    """Return the answer in words: the most probable classes, or the outputs as they are."""
    values = next(iter(outputs.values()))
    if task not in ("classify", "multilabel"):
        return "\n".join(f"  {name} {value.shape}: {value.ravel()[:8]}" for name, value in outputs.items())
    logits = values[0].astype(np.float64)
    if task == "classify":
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
    else:
        shares = 1 / (1 + np.exp(-logits))
    return "\n".join(f"  {shares[i]:7.2%}  {labels[i]}" for i in np.argsort(-shares)[:5])


def main() -> None:
    """Print what the server answers to each picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--url", default="http://localhost:8000")
    given = parser.parse_args()
    (sidecar,) = FOLDER.glob("models/*/1/*.json")
    described = read_sidecar(sidecar.with_suffix("")).description
    model = sidecar.parents[1]
    path = model / "labels.txt"
    labels = path.read_text("utf-8").splitlines() if path.exists() else []
    for picture in given.pictures:
        outputs = infer(given.url.rstrip("/"), model.name, prepare(picture, described))
        sys.stdout.write(f"{picture}\n{told(outputs, described.task, labels)}\n")


if __name__ == "__main__":
    main()
