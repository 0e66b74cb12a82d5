# The registry of commands: a line each, which `__init__.py` follows when a name is first used. What is named
# here is part of the library and, if it is declared as a command, of the command line (`build_script` is not:
# there it is `build --emit-script`).
from .commands.benchmark.command import benchmark as benchmark
from .commands.build import build as build
from .commands.build_script import build_script as build_script
from .commands.compare.command import compare as compare
from .commands.demo import demo as demo
from .commands.doctor import doctor as doctor
from .commands.embed.command import embed as embed
from .commands.export import export as export
from .commands.finetune.command import finetune as finetune
from .commands.predict.command import predict as predict
from .commands.quantize.command import quantize as quantize
from .commands.report.command import report as report
from .commands.sensitivity import sensitivity as sensitivity
from .commands.validate.command import validate as validate
from .commands.variants import variants as variants
from .version import __version__ as __version__

__all__: list[str]
