"""The weights of a ConvNeXt out of an ONNX graph, by what the graph computes and not by its names.

`reading` opens the file, `interpretation` walks over its nodes: `constants` computes what depends on no
image, `moves`, `operators` and `multiplications` write the rest as `terms`, an algebra without layouts
(`values` keeps those apart), in which `rules` find known functions. `chain` walks from the outputs to the
image and finds `parts`; `recovery` makes an architecture and its tensors of them, `pixels` the
preprocessing; `comparison` runs both.
"""
