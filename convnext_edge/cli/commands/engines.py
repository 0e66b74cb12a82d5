"""The commands that carry a model to a device: build, embed."""

from __future__ import annotations

from typing import Any

import click

import convnext_edge
from convnext_edge.cli import options as common
from convnext_edge.cli.frame import command
from convnext_edge.errors import UsageError
from convnext_edge.results import Result


@command("convnext-edge build --target openvino")
@common.model
@common.target
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    help="TensorRT: of layers that are not INT8.  [default: fp16 beside INT8, else fp32]",
)
@click.option("--max-batch", type=click.IntRange(1), help="TensorRT: most images in a call.  [default: 8]")
@click.option(
    "--compute-capability",
    multiple=True,
    metavar="X.Y",
    help="TensorRT-RTX: of the GPUs to build for; repeatable.  [default: 8.0 and later]",
)
@click.option("--timing-cache", type=common.FILE, help="TensorRT: file that makes the next build faster.")
@click.option("--emit-script", is_flag=True, help="TensorRT: write a folder that builds with trtexec.")
@common.output
@common.workspace
def build(emit_script: bool, **options: Any) -> Result:
    """Compile MODEL (default: the newest that fits) to an engine."""
    if not emit_script:
        return convnext_edge.build(**options)
    for name in ("compute_capability", "timing_cache"):
        if options.pop(name):
            option = name.replace("_", "-")
            raise UsageError(f"--{option} means nothing with --emit-script", hint="Leave it out.")
    return convnext_edge.build_script(**options)


@command("convnext-edge embed --lang cpp -o my-app/classifier")
@click.argument("engine", type=common.FILE, required=False)
@click.option(
    "--lang",
    type=click.Choice(["cpp", "web", "android", "ios"]),
    required=True,
    help="Language of the application.",
)
@click.option("--labels", type=common.FILE, help="Text with one label a line.  [default: the model's own]")
@click.option(
    "--runtime",
    type=common.FOLDER,
    help="web: folder of npm's onnxruntime-web.  [default: the nearest node_modules']",
)
@click.option(
    "-o",
    "--output",
    type=common.FOLDER,
    help="Folder to write, new or empty.  [default: a name in the workspace]",
)
@common.workspace
def embed(**options: Any) -> Result:
    """Put ENGINE (default: the newest) into a folder for an application."""
    return convnext_edge.embed(**options)
