"""What holds in PyTorch while something is traced, and not afterwards."""

from __future__ import annotations

import copy

import torch.fx.config
from torch import nn
from torch.fx import symbolic_trace
from torch.fx.traceback import NodeSource

from convnext_edge.network.exporter import exporter
from convnext_edge.onnx_graph.tracing import example_input, export_program


def test_nodes_share_notes_and_have_no_stack_traces_while_one_exporter_is_at_work() -> None:
    node = next(iter(symbolic_trace(nn.Identity()).graph.nodes))
    note = NodeSource(node, "a pass")
    with exporter():
        with exporter():
            assert copy.deepcopy([note])[0] is note
        assert copy.deepcopy([note])[0] is note, "the outer one is still at work"
        assert torch.fx.config.do_not_emit_stack_traces
    copied = copy.deepcopy(note)
    assert copied is not note
    assert copied.print_readable() == note.print_readable()
    assert not torch.fx.config.do_not_emit_stack_traces


def test_a_graph_takes_any_number_of_images_or_those_of_its_example() -> None:
    module = nn.Conv2d(3, 2, 1)
    example = example_input((3, 4, 4), "float32")
    free, fixed = (export_program(module, example, any_batch=any_batch) for any_batch in (True, False))
    assert all("stack_trace" not in node.meta for graph in (free, fixed) for node in graph.graph.nodes)
    three = torch.cat([example, example[:1]])
    torch.testing.assert_close(free(three), module(three))
    torch.testing.assert_close(fixed(example), module(example))
