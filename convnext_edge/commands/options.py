"""Parameters that several commands have, each with what the command line says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

from convnext_edge.artifacts.opsets import HIGHEST, LOWEST, USUAL
from convnext_edge.checkpoints.places import Weights
from convnext_edge.commands.declaration import Argument, Option
from convnext_edge.images.changes import Exif
from convnext_edge.images.contents import ClassOrder
from convnext_edge.images.definitions import set_names
from convnext_edge.images.preprocessing import ChannelOrder, Channels, Interpolation, ResizeMode
from convnext_edge.paths import AnyPath
from convnext_edge.targets.registry import NAMES

RUNTIMES = ", ".join(NAMES)  # in the help, as a list of choices would be one word longer than a line

Model: TypeAlias = Annotated[AnyPath | None, Argument()]
Calib: TypeAlias = Annotated[
    AnyPath, Option("Images to take activation ranges from.", metavar="NAME|PATH", completions=set_names)
]
Data: TypeAlias = Annotated[
    AnyPath, Option("Images to compare on.", metavar="NAME|PATH", completions=set_names)
]
Limit: TypeAlias = Annotated[int | None, Option("Take a seeded subset of that many.", at_least=1)]
Samples: TypeAlias = Annotated[
    int | None, Option("How many of them.  [default: 256, or all of fewer]", at_least=1)
]
QuantizeFor: TypeAlias = Annotated[
    str, Option(f"Runtime to quantize for: {RUNTIMES}.", metavar="NAME", choices=NAMES)
]
RunOn: TypeAlias = Annotated[
    str | None,
    Option(f"Runtime: {RUNTIMES}.  [default: the one the model was made for]", metavar="NAME", choices=NAMES),
]
RecipeFile: TypeAlias = Annotated[
    AnyPath | None, Option("TOML file that changes keys of the target's recipe.")
]
Checkpoint: TypeAlias = Annotated[
    AnyPath | None,
    Option("Start from this file, folder or hf:ORG/NAME instead of MODEL.", metavar="FILE|DIR|hf:ORG/NAME"),
]
WeightsOption: TypeAlias = Annotated[
    Weights | None,
    Option("Of a checkpoint that has both: averaged or plain.  [default: averaged, if any]"),
]
KeepFloat: TypeAlias = Annotated[
    Sequence[str], Option("Layers to leave in float; repeatable.", metavar="PATTERN")
]
MaxDrop: TypeAlias = Annotated[float | None, Option("Gate: top-1 points that may be lost.", metavar="POINTS")]
MinAgreement: TypeAlias = Annotated[
    float | None, Option("Gate: same top-1, or decisions.", metavar="FRACTION", at_least=0, at_most=1)
]
MinSqnr: TypeAlias = Annotated[float | None, Option("Gate: of the worst output.", metavar="DB")]
MinR2: TypeAlias = Annotated[float | None, Option("Gate of regress: R2.", metavar="R2", at_most=1)]
MinCosine: TypeAlias = Annotated[
    float | None, Option("Gate of embed: mean cosine.", metavar="COSINE", at_least=-1, at_most=1)
]
ClassOrderOption: TypeAlias = Annotated[
    ClassOrder | None,
    Option("How folders of classes are numbered: 2 before 10, or after.  [default: as the model's library]"),
]
ClassesFile: TypeAlias = Annotated[
    AnyPath | None, Option("Names of all classes by label, a name a line or JSON; images may lack some.")
]
Opset: TypeAlias = Annotated[
    int | None,
    Option(f"Version of ONNX's operators.  [default: MODEL's, or {USUAL}]", at_least=LOWEST, at_most=HIGHEST),
]
Runs: TypeAlias = Annotated[int, Option("Timed calls of each.", at_least=1)]
DataRoot: TypeAlias = Annotated[
    AnyPath | None,
    Option("Where named image sets are looked for.  [default: $CONVNEXT_EDGE_DATA]", folder=True),
]
Crop: TypeAlias = Annotated[
    float | None,
    Option("Of the resized edge that is kept.", metavar="FRACTION", at_least=0, at_most=1, above=True),
]
InterpolationOption: TypeAlias = Annotated[
    Interpolation | None, Option("Filter by which images are resized.", metavar="NAME")
]
ResizeModeOption: TypeAlias = Annotated[
    ResizeMode | None, Option("Shorter edge and crop, whole image, or longer edge and --pad-color.")
]
PadColor: TypeAlias = Annotated[Channels | None, Option("Of what is padded, in 0..255.", metavar="R G B")]
Mean: TypeAlias = Annotated[Channels | None, Option("Of the pixels, in 0..1.", metavar="R G B...")]
Std: TypeAlias = Annotated[Channels | None, Option("Standard deviation of the pixels.", metavar="R G B...")]
PixelRange: TypeAlias = Annotated[
    int | None, Option("255: --mean and --std are in 0..255; without them, none.", metavar="MOST")
]
ChannelOrderOption: TypeAlias = Annotated[
    ChannelOrder | None, Option("Of the checkpoint's images, --mean and --std.")
]
ExifOption: TypeAlias = Annotated[Exif | None, Option("Whether photographs are turned upright.")]
Output: TypeAlias = Annotated[
    AnyPath | None,
    Option("File to write.  [default: a name in the workspace]", flags=("-o", "--output")),
]
WorkspaceFolder: TypeAlias = Annotated[
    AnyPath | None,
    Option("Folder for artifacts.  [default: $CONVNEXT_EDGE_WORKSPACE or ./convnext-edge-out]", folder=True),
]
Seed: TypeAlias = Annotated[int, Option("Of everything random.", at_least=0, at_most=2**32 - 1)]
