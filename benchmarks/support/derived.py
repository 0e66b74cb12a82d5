"""Models that begin where a trained V1 is: a V2, one with RMSNorm, one with an outlier in each stage."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from convnext_edge.network.convnext import Block, ConvNeXt, Downsample, Stage
from convnext_edge.network.norms import GRN, GRN_EPS, Norm

OUTLIER = 30.0  # times what the channel was


def blocks(model: nn.Module) -> list[Block]:
    return [module for module in model.modules() if isinstance(module, Block)]


def stages(model: ConvNeXt) -> list[Stage]:
    return [module for module in model.stages if isinstance(module, Stage)]


def downsample(stage: Stage) -> Downsample:
    """The downsampling layer of a stage that has one."""
    assert isinstance(stage.downsample, Downsample)
    return stage.downsample


@torch.no_grad()
def as_v2(model: ConvNeXt) -> ConvNeXt:
    """The same function as a V2: the layer scale multiplied into the layer before it, GRN zero."""
    made = ConvNeXt(replace(model.architecture, grn=True, layer_scale=False))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name in [name for name in state if name.endswith(".gamma")]:
        gamma, layer = state.pop(name), name.removesuffix("gamma") + "pwconv2"
        state[f"{layer}.weight"] *= gamma[:, None]
        state[f"{layer}.bias"] *= gamma
    missing, unknown = made.load_state_dict(state, strict=False)
    assert not unknown, unknown
    assert all(".grn." in name for name in missing), missing
    return made


@torch.no_grad()
def give_grn_weight(model: ConvNeXt, images: Tensor, seed: int = 0) -> None:
    """Let GRN multiply by weights of 0 to 1, and divide the layer behind it by what it does in the mean.

    From zero, a short training leaves GRN next to nothing: without it, the answers are the same. The mean is
    over `images` (N, 3, R, R); what differs from image to image is left to training.
    """
    generator = torch.Generator().manual_seed(seed)
    for block in blocks(model):
        grn, seen = block.grn, list[Tensor]()
        assert isinstance(grn, GRN)
        hook = grn.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        model(images)
        hook.remove()
        norms = seen[0].norm(dim=(1, 2), keepdim=True)  # (N, 1, 1, C)
        relative = (norms / (norms.mean(dim=-1, keepdim=True) + GRN_EPS)).mean(dim=(0, 1, 2))
        weight = torch.rand(relative.shape, generator=generator)
        grn.weight.copy_(weight)
        block.pwconv2.weight /= 1 + weight * relative


@torch.no_grad()
def with_rms_norm(model: ConvNeXt) -> ConvNeXt:
    """A model with RMSNorm that is as near as weights go: biases of norms go into the layers behind.

    The mean is taken out of the stem's convolution, which is exact; no other norm has a layer that could.
    """
    made = ConvNeXt(replace(model.architecture, norm="rmsnorm", norm_bias=False))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for norm, layer in norms_and_readers(model):
        shift, weight = state.pop(f"{norm}.bias"), state[f"{layer}.weight"]
        state[f"{layer}.bias"] += weight.flatten(2).sum(-1) @ shift if weight.ndim == 4 else weight @ shift
    del state["stem.norm.bias"]  # the residual sum has it, which has no bias to take it
    for name in ("stem.conv.weight", "stem.conv.bias"):
        state[name] -= state[name].mean(dim=0, keepdim=True)
    made.load_state_dict(state)
    return made


def norms_and_readers(model: ConvNeXt) -> list[tuple[str, str]]:
    """Names of each norm with one layer behind it, and of that layer."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, Block):
            found.append((f"{name}.norm", f"{name}.pwconv1"))
        if isinstance(module, Downsample):
            found.append((f"{name}.norm", f"{name}.conv"))
    return [*found, ("norm", "head")]


@torch.no_grad()
def with_outliers(model: ConvNeXt, images: Tensor) -> list[int]:
    """Multiply one channel of each stage's residual stream by 30, and what reads it by as much less.

    Depthwise layers read one channel, so blocks stay what they are. The norm behind a stage does not: its
    deviation grows, which its weight makes up for in the mean over `images` (N, 3, R, R).
    Training does the rest.
    Returns the channel of each stage: the one whose RMS is the median.
    """
    channels = [int(rms.argsort()[len(rms) // 2]) for rms in stage_rms(model, images)]
    parts = stages(model)
    for number, (stage, channel) in enumerate(zip(parts, channels, strict=True)):
        writer = model.stem.norm if number == 0 else downsample(stage).conv
        reader = model.norm if stage is parts[-1] else downsample(parts[number + 1]).norm
        assert writer.bias is not None
        before = deviation(model, reader, images)
        writer.weight[channel] *= OUTLIER
        writer.bias[channel] *= OUTLIER
        for block in blocks(stage):
            assert block.gamma is not None
            block.dwconv.weight[channel] /= OUTLIER
            block.gamma[channel] *= OUTLIER
        reader.weight.mul_(deviation(model, reader, images) / before)
        reader.weight[channel] /= OUTLIER
    return channels


@torch.no_grad()
def deviation(model: ConvNeXt, norm: Norm, images: Tensor) -> float:
    """The mean deviation over channels of what comes into a norm."""
    seen: list[Tensor] = []
    hook = norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(images)
    hook.remove()
    return float(seen[0].std(dim=1).mean())


@torch.no_grad()
def stage_rms(model: ConvNeXt, images: Tensor) -> list[Tensor]:
    """The RMS (C,) of each channel of the residual stream behind each stage."""
    found = []
    x = model.stem(images)
    for stage in model.stages:
        x = stage(x)
        found.append(x.square().mean(dim=(0, 2, 3)).sqrt())
    return found


def outlier_ratios(model: ConvNeXt, images: Tensor) -> list[float]:
    """The largest RMS of a channel over the median channel's, behind each stage."""
    return [round(float(rms.max() / rms.median()), 2) for rms in stage_rms(model, images)]
