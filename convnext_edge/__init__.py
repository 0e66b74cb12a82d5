"""ConvNeXt in INT8 on CPUs and edge devices.

    from convnext_edge import export, quantize, build, validate, benchmark

Each command of the command line is a function of the same name here; it returns the object that the
command prints with `--json`. A function is imported when its name is first used, PyTorch and the runtimes
when it is called. The registry of the names is the file
__init__.pyi beside this one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
