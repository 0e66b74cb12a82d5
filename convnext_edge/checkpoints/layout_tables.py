"""The names that libraries give to the tensors of a ConvNeXt, as tables: a library's name, and ours.

How they are read is told in `layouts`.
"""

from __future__ import annotations

Table = tuple[tuple[str, str], ...]

BLOCK = "stages.{s}.blocks.{b}"
DOWNSAMPLE = "stages.{s}.downsample"

# github.com/facebookresearch/ConvNeXt and ConvNeXt-V2; their backbones of detection have norm0 to norm3
OFFICIAL: Table = (
    ("downsample_layers.0.0.{p}", "stem.conv.{p}"),
    ("downsample_layers.0.1.{p}", "stem.norm.{p}"),
    ("downsample_layers.{s}.0.{p}", f"{DOWNSAMPLE}.norm.{{p}}"),
    ("downsample_layers.{s}.1.{p}", f"{DOWNSAMPLE}.conv.{{p}}"),
    ("stages.{s}.{b}.dwconv.{p}", f"{BLOCK}.dwconv.{{p}}"),
    ("stages.{s}.{b}.norm.{p}", f"{BLOCK}.norm.{{p}}"),
    ("stages.{s}.{b}.pwconv1.{p}", f"{BLOCK}.pwconv1.{{p}}"),
    ("stages.{s}.{b}.grn.gamma", f"{BLOCK}.grn.weight"),
    ("stages.{s}.{b}.grn.beta", f"{BLOCK}.grn.bias"),
    ("stages.{s}.{b}.pwconv2.{p}", f"{BLOCK}.pwconv2.{{p}}"),
    ("stages.{s}.{b}.gamma", f"{BLOCK}.gamma"),
    ("norm{s}.{p}", "map_norms.{s}.{p}"),
    ("norm.{p}", "norm.{p}"),
    ("head.{p}", "head.{p}"),
)

# mmpretrain's classifiers; its last norm comes behind the pooling
MMPRETRAIN: Table = (
    *(
        (f"backbone.{name}".replace(".dwconv", ".depthwise_conv").replace(".pwconv", ".pointwise_conv"), ours)
        for name, ours in OFFICIAL
        if not name.startswith(("norm", "head"))
    ),
    ("backbone.norm3.{p}", "norm.{p}"),
    ("head.fc.{p}", "head.{p}"),
)
# ... and as the backbone of a detector or a segmenter of OpenMMLab
MMPRETRAIN_BACKBONE: Table = (
    *((name, ours) for name, ours in MMPRETRAIN if ours.startswith(("stem", "stages"))),
    ("backbone.norm{s}.{p}", "map_norms.{s}.{p}"),
)
# UPerHead of mmsegmentation, as the authors' UPerNets have it, and UperNetHead of transformers
UPERNET_CONVOLUTIONS = {
    "psp_modules.{s}.1": "pyramid.{s}",
    "bottleneck": "bottleneck",
    "lateral_convs.{s}": "laterals.{s}",
    "fpn_convs.{s}": "fpn.{s}",
    "fpn_bottleneck": "fpn_bottleneck",
}


def decode_head(norm: str, classifier: str) -> Table:
    """Return the names of UPerNet's decoder.

    norm: what a library calls the BatchNorm of a convolution. classifier: what it calls the last layer.
    """
    rows = UPERNET_CONVOLUTIONS.items()
    return (
        *((f"decode_head.{name}.conv.weight", f"decoder.{ours}.conv.weight") for name, ours in rows),
        *((f"decode_head.{name}.{norm}.{{n}}", f"decoder.{ours}.norm.{{n}}") for name, ours in rows),
        (f"decode_head.{classifier}.{{p}}", "decoder.classifier.{p}"),
    )


# ... with the backbone of the authors' own repository, and with that of OpenMMLab's later configs
MMSEGMENTATION_HEAD = decode_head("bn", "conv_seg")
AUTHORS_BACKBONE: Table = tuple(
    (f"backbone.{name}", ours) for name, ours in OFFICIAL if ours.startswith(("stem", "stages", "map_norms"))
)
MMSEGMENTATION: Table = (*AUTHORS_BACKBONE, *MMSEGMENTATION_HEAD)
MMSEGMENTATION_OF_MMPRETRAIN: Table = (*MMPRETRAIN_BACKBONE, *MMSEGMENTATION_HEAD)

# MaskRCNN of mmdetection with FPN, RPNHead, Shared2FCBBoxHead and FCNMaskHead, and CascadeRCNN with three
# heads of each kind, ConvFCBBoxHead with convolutions, as in the authors' configs
MMDETECTION_HEADS: Table = (
    ("neck.lateral_convs.{s}.conv.{p}", "decoder.laterals.{s}.{p}"),
    ("neck.fpn_convs.{s}.conv.{p}", "decoder.fpn.{s}.{p}"),
    ("rpn_head.rpn_conv.{p}", "decoder.rpn.conv.{p}"),
    ("rpn_head.rpn_cls.{p}", "decoder.rpn.objectness.{p}"),
    ("rpn_head.rpn_reg.{p}", "decoder.rpn.deltas.{p}"),
    ("roi_head.bbox_head.shared_fcs.0.{p}", "decoder.box.fc1.{p}"),
    ("roi_head.bbox_head.shared_fcs.1.{p}", "decoder.box.fc2.{p}"),
    ("roi_head.bbox_head.fc_cls.{p}", "decoder.box.classes.{p}"),
    ("roi_head.bbox_head.fc_reg.{p}", "decoder.box.deltas.{p}"),
    ("roi_head.mask_head.convs.{s}.conv.{p}", "decoder.mask.convs.{s}.{p}"),
    ("roi_head.mask_head.upsample.{p}", "decoder.mask.upsample.{p}"),
    ("roi_head.mask_head.conv_logits.{p}", "decoder.mask.classes.{p}"),
    ("roi_head.bbox_head.{s}.shared_convs.{b}.conv.weight", "decoder.box.{s}.convs.{b}.conv.weight"),
    ("roi_head.bbox_head.{s}.shared_convs.{b}.bn.{n}", "decoder.box.{s}.convs.{b}.norm.{n}"),
    ("roi_head.bbox_head.{s}.shared_fcs.0.{p}", "decoder.box.{s}.fc1.{p}"),
    ("roi_head.bbox_head.{s}.shared_fcs.1.{p}", "decoder.box.{s}.fc2.{p}"),
    ("roi_head.bbox_head.{s}.fc_cls.{p}", "decoder.box.{s}.classes.{p}"),
    ("roi_head.bbox_head.{s}.fc_reg.{p}", "decoder.box.{s}.deltas.{p}"),
    ("roi_head.mask_head.{s}.convs.{b}.conv.{p}", "decoder.mask.{s}.convs.{b}.{p}"),
    ("roi_head.mask_head.{s}.upsample.{p}", "decoder.mask.{s}.upsample.{p}"),
    ("roi_head.mask_head.{s}.conv_logits.{p}", "decoder.mask.{s}.classes.{p}"),
)
# ... with either backbone
MMDETECTION: Table = (*AUTHORS_BACKBONE, *MMDETECTION_HEADS)
MMDETECTION_OF_MMPRETRAIN: Table = (*MMPRETRAIN_BACKBONE, *MMDETECTION_HEADS)

# github.com/facebookresearch/dinov3: the last norm stands among those of the maps, too
DINOV3_OFFICIAL: Table = (
    *((name, ours) for name, ours in OFFICIAL if not name.startswith("norm{s}")),
    ("norms.3.{p}", "norm.{p}"),
)

# timm.models.convnext behind the stem; its small models keep the pointwise layers as 1x1 convolutions
TIMM_BODY: Table = (
    ("stages.{s}.downsample.0.{p}", f"{DOWNSAMPLE}.norm.{{p}}"),
    ("stages.{s}.downsample.1.{p}", f"{DOWNSAMPLE}.conv.{{p}}"),
    ("stages.{s}.blocks.{b}.conv_dw.{p}", f"{BLOCK}.dwconv.{{p}}"),
    ("stages.{s}.blocks.{b}.norm.{p}", f"{BLOCK}.norm.{{p}}"),
    ("stages.{s}.blocks.{b}.mlp.fc1.{p}", f"{BLOCK}.pwconv1.{{p}}"),
    ("stages.{s}.blocks.{b}.mlp.grn.{p}", f"{BLOCK}.grn.{{p}}"),
    ("stages.{s}.blocks.{b}.mlp.fc2.{p}", f"{BLOCK}.pwconv2.{{p}}"),
    ("stages.{s}.blocks.{b}.gamma", f"{BLOCK}.gamma"),
    ("norm_pre.{p}", "norm_pre.{p}"),
    ("head.norm.{p}", "norm.{p}"),
    ("head.pre_logits.fc.{p}", "hidden.{p}"),
    ("head.fc.{p}", "head.{p}"),
    ("head.fc.1.{p}", "head.{p}"),  # Sequential(Dropout, Linear)
)
PATCH_STEM: Table = (("stem.0.{p}", "stem.conv.{p}"), ("stem.1.{p}", "stem.norm.{p}"))
OVERLAP_STEM: Table = (
    ("stem.0.{p}", "stem.conv.{p}"),
    ("stem.1.{p}", "stem.conv2.{p}"),
    ("stem.2.{p}", "stem.norm.{p}"),
)
OVERLAP_ACT_STEM: Table = (
    ("stem.0.{p}", "stem.conv.{p}"),
    ("stem.2.{p}", "stem.conv2.{p}"),
    ("stem.3.{p}", "stem.norm.{p}"),
)


def flattened(stem: Table) -> Table:
    """Return the names of timm's features_only=True, which flattens two levels of them."""
    rows = (*stem, *TIMM_BODY)
    return tuple((name.replace("stem.", "stem_").replace("stages.", "stages_"), ours) for name, ours in rows)


# open_clip's image tower: a model of timm without its head, and a projection or a hidden layer behind
OPEN_CLIP: Table = (
    *((f"visual.trunk.{name}", ours) for name, ours in (*PATCH_STEM, *TIMM_BODY)),
    ("visual.head.proj.{p}", "head.{p}"),
    ("visual.head.mlp.fc1.{p}", "hidden.{p}"),
    ("visual.head.mlp.fc2.{p}", "head.{p}"),
)

# torchvision.models.convnext, V1 only
TORCHVISION: Table = (
    ("features.0.0.{p}", "stem.conv.{p}"),
    ("features.0.1.{p}", "stem.norm.{p}"),
    ("features.{even}.0.{p}", f"{DOWNSAMPLE}.norm.{{p}}"),
    ("features.{even}.1.{p}", f"{DOWNSAMPLE}.conv.{{p}}"),
    ("features.{odd}.{b}.block.0.{p}", f"{BLOCK}.dwconv.{{p}}"),
    ("features.{odd}.{b}.block.2.{p}", f"{BLOCK}.norm.{{p}}"),
    ("features.{odd}.{b}.block.3.{p}", f"{BLOCK}.pwconv1.{{p}}"),
    ("features.{odd}.{b}.block.5.{p}", f"{BLOCK}.pwconv2.{{p}}"),
    ("features.{odd}.{b}.layer_scale", f"{BLOCK}.gamma"),
    ("classifier.0.{p}", "norm.{p}"),
    ("classifier.2.{p}", "head.{p}"),
    ("classifier.2.1.{p}", "head.{p}"),  # Sequential(Dropout, Linear)
)

# MaskRCNN of torchvision, with `features` of a ConvNeXt as its body; rows without a 0 are of before 0.13
TORCHVISION_MASK_RCNN: Table = (
    *(
        (name.replace("features.", "backbone.body.", 1), ours)
        for name, ours in TORCHVISION
        if name.startswith("features.")
    ),
    ("backbone.fpn.inner_blocks.{s}.0.{p}", "decoder.laterals.{s}.{p}"),
    ("backbone.fpn.inner_blocks.{s}.{p}", "decoder.laterals.{s}.{p}"),
    ("backbone.fpn.layer_blocks.{s}.0.{p}", "decoder.fpn.{s}.{p}"),
    ("backbone.fpn.layer_blocks.{s}.{p}", "decoder.fpn.{s}.{p}"),
    ("rpn.head.conv.0.0.{p}", "decoder.rpn.conv.{p}"),
    ("rpn.head.conv.{p}", "decoder.rpn.conv.{p}"),
    ("rpn.head.cls_logits.{p}", "decoder.rpn.objectness.{p}"),
    ("rpn.head.bbox_pred.{p}", "decoder.rpn.deltas.{p}"),
    ("roi_heads.box_head.fc6.{p}", "decoder.box.fc1.{p}"),
    ("roi_heads.box_head.fc7.{p}", "decoder.box.fc2.{p}"),
    ("roi_heads.box_predictor.cls_score.{p}", "decoder.box.classes.{p}"),
    ("roi_heads.box_predictor.bbox_pred.{p}", "decoder.box.deltas.{p}"),
    ("roi_heads.mask_head.{s}.0.{p}", "decoder.mask.convs.{s}.{p}"),
    ("roi_heads.mask_head.mask_fcn{next}.{p}", "decoder.mask.convs.{s}.{p}"),
    ("roi_heads.mask_predictor.conv5_mask.{p}", "decoder.mask.upsample.{p}"),
    ("roi_heads.mask_predictor.mask_fcn_logits.{p}", "decoder.mask.classes.{p}"),
)

# Models of which only the children are kept, in a Sequential: by nn.Sequential(*list(model.children())[:-1]),
# and by fastai's create_body, which cuts torchvision's in this way
TORCHVISION_BODY: Table = tuple(
    (name.removeprefix("features."), ours) for name, ours in TORCHVISION if name.startswith("features.")
)
TIMM_BODY_PLACES = {"stem.": "0.", "stages.": "1.", "norm_pre.": "2."}


def as_children(stem: Table) -> Table:
    """Return the names of the children of timm's model in a Sequential, without its head."""
    rows = (*stem, *TIMM_BODY)
    return tuple(
        (place + name.removeprefix(child), ours)
        for name, ours in rows
        for child, place in TIMM_BODY_PLACES.items()
        if name.startswith(child)
    )


# transformers' ConvNextModel, ConvNextV2Model and the *Backbone of each
TRANSFORMERS: Table = (
    ("embeddings.patch_embeddings.{p}", "stem.conv.{p}"),
    ("embeddings.layernorm.{p}", "stem.norm.{p}"),
    ("encoder.stages.{s}.downsampling_layer.0.{p}", f"{DOWNSAMPLE}.norm.{{p}}"),
    ("encoder.stages.{s}.downsampling_layer.1.{p}", f"{DOWNSAMPLE}.conv.{{p}}"),
    ("encoder.stages.{s}.layers.{b}.dwconv.{p}", f"{BLOCK}.dwconv.{{p}}"),
    ("encoder.stages.{s}.layers.{b}.layernorm.{p}", f"{BLOCK}.norm.{{p}}"),
    ("encoder.stages.{s}.layers.{b}.pwconv1.{p}", f"{BLOCK}.pwconv1.{{p}}"),
    ("encoder.stages.{s}.layers.{b}.grn.{p}", f"{BLOCK}.grn.{{p}}"),
    ("encoder.stages.{s}.layers.{b}.pwconv2.{p}", f"{BLOCK}.pwconv2.{{p}}"),
    ("encoder.stages.{s}.layers.{b}.layer_scale_parameter", f"{BLOCK}.gamma"),
    ("layernorm.{p}", "norm.{p}"),
    ("hidden_states_norms.stage{next}.{p}", "map_norms.{s}.{p}"),
)

# transformers' DINOv3ConvNextModel, which numbers the stem among the downsampling layers of the stages
DINOV3: Table = (
    ("stages.0.downsample_layers.0.{p}", "stem.conv.{p}"),
    ("stages.0.downsample_layers.1.{p}", "stem.norm.{p}"),
    ("stages.{s}.downsample_layers.0.{p}", f"{DOWNSAMPLE}.norm.{{p}}"),
    ("stages.{s}.downsample_layers.1.{p}", f"{DOWNSAMPLE}.conv.{{p}}"),
    ("stages.{s}.layers.{b}.depthwise_conv.{p}", f"{BLOCK}.dwconv.{{p}}"),
    ("stages.{s}.layers.{b}.layer_norm.{p}", f"{BLOCK}.norm.{{p}}"),
    ("stages.{s}.layers.{b}.pointwise_conv1.{p}", f"{BLOCK}.pwconv1.{{p}}"),
    ("stages.{s}.layers.{b}.pointwise_conv2.{p}", f"{BLOCK}.pwconv2.{{p}}"),
    ("stages.{s}.layers.{b}.gamma", f"{BLOCK}.gamma"),
    ("layer_norm.{p}", "norm.{p}"),
)


def classifier_of_transformers(prefix: str) -> Table:
    """Return the names of ConvNextForImageClassification and its like, whose model is under `prefix`."""
    return (*((prefix + name, ours) for name, ours in TRANSFORMERS), ("classifier.{p}", "head.{p}"))


# UperNetForSemanticSegmentation
TRANSFORMERS_UPERNET: Table = (
    *((f"backbone.{name}", ours) for name, ours in TRANSFORMERS if ours != "norm.{p}"),
    *decode_head("batch_norm", "classifier"),
)

OF_OURS = (*OVERLAP_STEM, *TIMM_BODY, ("", "map_norms.{s}.{p}"), *MMSEGMENTATION_HEAD, *MMDETECTION_HEADS)
OURS: Table = tuple((ours, ours) for _, ours in OF_OURS)
