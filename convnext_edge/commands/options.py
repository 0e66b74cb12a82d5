"""Parameters that several commands have, each with what the command line says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias, get_args

from convnext_edge.architecture import Activation, NormKind, Pooling
from convnext_edge.artifacts.opsets import HIGHEST, LOWEST, USUAL
from convnext_edge.checkpoints.places import Weights
from convnext_edge.commands.declaration import Argument, Option
from convnext_edge.cpu import Machine
from convnext_edge.detection import MOST_BOXES
from convnext_edge.images.changes import Exif
from convnext_edge.images.contents import ClassOrder
from convnext_edge.images.definitions import set_names
from convnext_edge.images.preprocessing import ChannelOrder, Channels, Interpolation, LabelZero, ResizeMode
from convnext_edge.paths import AnyPath
from convnext_edge.targets.registry import NAMES
from convnext_edge.tasks import Task


def listed(kind: object) -> str:
    """Return the names of a Literal for a help text, where a list of choices would not fit into a line."""
    return ", ".join(get_args(kind))


RUNTIMES = ", ".join(NAMES)  # in the help, as a list of choices would be one word longer than a line

Model: TypeAlias = Annotated[AnyPath | None, Argument()]
Calib: TypeAlias = Annotated[
    AnyPath, Option("Images to take activation ranges from.", metavar="NAME|PATH", completions=set_names)
]
Data: TypeAlias = Annotated[
    AnyPath, Option("Images to compare on.", metavar="NAME|PATH", completions=set_names)
]
Limit: TypeAlias = Annotated[int | None, Option("Number of images to take, drawn by --seed.", at_least=1)]
Samples: TypeAlias = Annotated[
    int | None, Option("Number of these images to take.  [default: 256, or all of fewer]", at_least=1)
]
QuantizeFor: TypeAlias = Annotated[
    str, Option(f"Runtime to quantize for: {RUNTIMES}.", metavar="NAME", choices=NAMES)
]
ForMachine: TypeAlias = Annotated[
    Machine | None,
    Option("Machine that the model is to run on.  [default: MODEL's, or this one]", flags=("--for",)),
]
RunOn: TypeAlias = Annotated[
    str | None,
    Option(f"Runtime: {RUNTIMES}.  [default: the one the model was made for]", metavar="NAME", choices=NAMES),
]
OnDevice: TypeAlias = Annotated[
    str | None,
    Option("Device to run on: ssh://USER@HOST[:PORT] or adb:SERIAL.", flags=("--on",), metavar="URL"),
]
DeviceRunner: TypeAlias = Annotated[
    str | None,
    Option("Command that runs the program there, such as an emulator.", metavar="COMMAND"),
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
    Option("Averaged or plain weights, of a checkpoint that has both.  [default: averaged, if any]"),
]
KeepFloat: TypeAlias = Annotated[
    Sequence[str], Option("Layers to leave in float; the option can be repeated.", metavar="PATTERN")
]
MaxDrop: TypeAlias = Annotated[
    float | None, Option("Gate: points of top-1 that may be lost.", metavar="POINTS")
]
MinAgreement: TypeAlias = Annotated[
    float | None,
    Option("Gate: least share with the same top-1, or decisions.", metavar="FRACTION", at_least=0, at_most=1),
]
MinSqnr: TypeAlias = Annotated[float | None, Option("Gate: least SQNR of the worst output.", metavar="DB")]
MinR2: TypeAlias = Annotated[float | None, Option("Gate of task regress: least R2.", metavar="R2", at_most=1)]
MinCosine: TypeAlias = Annotated[
    float | None, Option("Gate of task embed: least mean cosine.", metavar="COSINE", at_least=-1, at_most=1)
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
Runs: TypeAlias = Annotated[int, Option("Number of timed calls of each model.", at_least=1)]
DataRoot: TypeAlias = Annotated[
    AnyPath | None,
    Option("Folder in which named image sets are looked for.  [default: $CONVNEXT_EDGE_DATA]", folder=True),
]
TaskOption: TypeAlias = Annotated[
    Task | None,
    Option(f"What the outputs mean: {listed(Task)}.  [default: as the tensors tell]", metavar="NAME"),
]
LabelZeroOption: TypeAlias = Annotated[
    LabelZero | None,
    Option("What 0 in label maps stands for: the first class, or none.  [default: as its processor says]"),
]
ActivationOption: TypeAlias = Annotated[
    Activation | None,
    Option(
        f"Activation of the blocks: {listed(Activation)}.  [default: as config.json says, else gelu]",
        metavar="NAME",
    ),
]
NormOption: TypeAlias = Annotated[
    NormKind | None, Option(f"Kind of norms without a bias: {listed(NormKind)}.", metavar="NAME")
]
PoolingOption: TypeAlias = Annotated[
    Pooling | None, Option(f"Pooling of the last map: {listed(Pooling)}.", metavar="NAME")
]
Candidates: TypeAlias = Annotated[
    int | None,
    Option(
        "Task detect: boxes of each level before overlaps are dropped.  [default: 1000]",
        at_least=1,
        at_most=MOST_BOXES,
    ),
]
Proposals: TypeAlias = Annotated[
    int | None,
    Option("Task detect: boxes that the heads look at.  [default: 1000]", at_least=1, at_most=MOST_BOXES),
]
ScoreThreshold: TypeAlias = Annotated[
    float | None,
    Option("Task detect: score that a detection has more than.  [default: 0.05]", at_least=0, at_most=1),
]
MaxDetections: TypeAlias = Annotated[
    int | None,
    Option("Task detect: most detections of an image.  [default: 100]", at_least=1, at_most=MOST_BOXES),
]
Crop: TypeAlias = Annotated[
    float | None,
    Option("Share of the resized edge that is kept.", metavar="FRACTION", at_least=0, at_most=1, above=True),
]
InterpolationOption: TypeAlias = Annotated[
    Interpolation | None,
    Option(f"Filter by which images are resized: {listed(Interpolation)}.", metavar="NAME"),
]
ResizeModeOption: TypeAlias = Annotated[
    ResizeMode | None,
    Option(
        "How images come to the size: shorter edge and crop, whole image, or longer edge and --pad-color,"
        " with the image in the middle or in the corner."
    ),
]
PadColor: TypeAlias = Annotated[Channels | None, Option("Color of the padding, in 0..255.", metavar="R G B")]
Mean: TypeAlias = Annotated[Channels | None, Option("Mean of the pixels, in 0..1.", metavar="R G B...")]
Std: TypeAlias = Annotated[
    Channels | None, Option("Standard deviation of the pixels, in 0..1.", metavar="R G B...")
]
PixelRange: TypeAlias = Annotated[
    int | None,
    Option("255: --mean and --std are in 0..255; without them, pixels stay in 0..255.", metavar="MOST"),
]
ChannelOrderOption: TypeAlias = Annotated[
    ChannelOrder | None, Option("Order of channels in the checkpoint's images, --mean and --std.")
]
ExifOption: TypeAlias = Annotated[
    Exif | None, Option("Whether photographs are turned upright by their EXIF.")
]
SlidingWindow: TypeAlias = Annotated[
    bool, Option("Task segment: slide windows over pictures of any size, as ADE20K's tables do.")
]
Output: TypeAlias = Annotated[
    AnyPath | None,
    Option("File to write.  [default: a name in the workspace]", flags=("-o", "--output")),
]
WorkspaceFolder: TypeAlias = Annotated[
    AnyPath | None,
    Option("Folder for artifacts.  [default: $CONVNEXT_EDGE_WORKSPACE or ./convnext-edge-out]", folder=True),
]
Seed: TypeAlias = Annotated[int, Option("Seed of everything that is random.", at_least=0, at_most=2**32 - 1)]
