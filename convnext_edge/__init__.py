"""ConvNeXt in INT8 on CPUs and edge devices.

    from convnext_edge import export, quantize, build, validate, benchmark

Each command of the command line is a function of the same name here; it returns the object that the
command prints with `--json`. PyTorch and the runtimes are imported when a function is called, not before.
"""

# The registry of commands: a line each. What is named here is part of the library and, if it is declared as a
# command, of the command line (`build_script` is not: there it is `build --emit-script`).
from convnext_edge.commands.benchmark import benchmark as benchmark
from convnext_edge.commands.build import build as build
from convnext_edge.commands.build_script import build_script as build_script
from convnext_edge.commands.compare import compare as compare
from convnext_edge.commands.declaration import COMMANDS as _COMMANDS
from convnext_edge.commands.demo import demo as demo
from convnext_edge.commands.doctor import doctor as doctor
from convnext_edge.commands.embed.command import embed as embed
from convnext_edge.commands.export import export as export
from convnext_edge.commands.finetune.command import finetune as finetune
from convnext_edge.commands.quantize.command import quantize as quantize
from convnext_edge.commands.report.command import report as report
from convnext_edge.commands.sensitivity import sensitivity as sensitivity
from convnext_edge.commands.validate import validate as validate
from convnext_edge.commands.variants import variants as variants
from convnext_edge.version import __version__ as __version__

__all__ = [*_COMMANDS, "__version__", "build_script"]  # noqa: PLE0604  for `import *`
