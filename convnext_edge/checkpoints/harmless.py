"""What training scripts store beside weights and nobody needs here: names, and what takes their places.

PyTorch's `weights_only` refuses a pickle with any class that it does not know. Those below hold settings,
paths and numbers. Not even they are made: each name stands for a class of ours that keeps nothing, or for a
plain mapping. A name that is not on the list is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

Substitute = tuple[Callable[..., Any], str]


class Nothing:
    """The place of a value that is not read: it takes whatever it is given, and keeps none of it."""

    def __new__(cls, *_: object, **__: object) -> Nothing:
        """Return an empty one, whatever the arguments."""
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Take no state."""


class PlainMapping:
    """The place of a mapping of another library; calling it returns a plain one, as weights may be inside."""

    def __new__(cls, *_: object, **__: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        """Return an empty mapping, which PyTorch then fills."""
        return OrderedDict()


class PlainList:
    """The place of a list of another kind."""

    def __new__(cls, *_: object, **__: object) -> list[Any]:  # type: ignore[misc]
        """Return an empty list, which PyTorch then fills."""
        return []


VALUES: dict[str, tuple[str, ...]] = {
    "argparse": ("Namespace",),
    "types": ("SimpleNamespace",),
    "pathlib": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    "pathlib._local": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    "builtins": ("dict", "float", "frozenset", "int", "list", "object", "range", "slice", "str", "tuple"),
    "copyreg": ("_reconstructor",),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "uuid": ("UUID",),
    "typing": ("Any", "Dict", "List", "Optional", "Tuple", "Union"),
    # what numpy's scalars, arrays and random generators are made of; before numpy 2, `core` had no underscore
    "numpy": ("dtype", "ndarray"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy._core.numeric": ("_frombuffer",),
    "numpy.random._pickle": ("__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"),
    "torch.torch_version": ("TorchVersion",),
    # Lightning before 1.9 has the classes of callbacks as keys
    "pytorch_lightning.callbacks.early_stopping": ("EarlyStopping",),
    "pytorch_lightning.callbacks.model_checkpoint": ("ModelCheckpoint",),
    "omegaconf.base": ("ContainerMetadata", "Metadata", "UnionNode"),
    "omegaconf.nodes": ("AnyNode", "BooleanNode", "FloatNode", "IntegerNode", "PathNode", "StringNode"),
    "omegaconf.dictconfig": ("DictConfig",),
    "omegaconf.listconfig": ("ListConfig",),
    "mmengine.logging.history_buffer": ("HistoryBuffer",),
}
MAPPINGS: dict[str, tuple[str, ...]] = {
    "collections": ("defaultdict",),
    "addict.addict": ("Dict",),
    "easydict": ("EasyDict",),
    "fvcore.common.config": ("CfgNode",),
    "lightning.fabric.utilities.data": ("AttributeDict",),
    "lightning_fabric.utilities.data": ("AttributeDict",),
    "mmcv.utils.config": ("ConfigDict",),
    "mmengine.config.config": ("ConfigDict",),
    "munch": ("Munch",),
    "pytorch_lightning.utilities.parsing": ("AttributeDict",),
    "yacs.config": ("CfgNode",),
}
LISTS: dict[str, tuple[str, ...]] = {"collections": ("deque",)}


def _substitutes() -> Iterator[Substitute]:
    for kind, names in ((Nothing, VALUES), (PlainMapping, MAPPINGS), (PlainList, LISTS)):
        for module, members in names.items():
            yield from ((kind, f"{module}.{member}") for member in members)
    # numpy has a class for the dtype of each kind of number
    kinds = ("Bool", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float16",
             "Float32", "Float64", "Str", "Bytes", "DateTime64", "TimeDelta64")  # fmt: skip
    yield from ((Nothing, f"numpy.dtypes.{kind}DType") for kind in kinds)


SUBSTITUTES: list[Callable[..., Any] | Substitute] = list(_substitutes())
