"""What PyTorch exporters work out anew for each file, and takes longer than a small model, done once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest


@contextmanager
def remembered() -> Iterator[None]:
    """Translate onnxscript's 500 functions, read their signatures, and look operators up once a process.

    Operators that a package registers later are looked up again: they change the number of registrations.
    """
    import torch
    from onnxscript._framework_apis import torch_2_5
    from torch._export import utils
    from torch.onnx._internal.exporter import _schemas

    look_up = utils._materialize_cpp_cia_ops
    look_up_once = cache(lambda _registrations: look_up())
    registrations = torch._C._dispatch_get_registrations_for_dispatch_key
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_2_5, "get_torchlib_ops", cache(torch_2_5.get_torchlib_ops))
        patch.setattr(_schemas, "op_signature_from_function", cache(_schemas.op_signature_from_function))
        patch.setattr(
            utils,
            "_materialize_cpp_cia_ops",
            lambda: look_up_once(len(registrations("CompositeImplicitAutograd"))),
        )
        yield
