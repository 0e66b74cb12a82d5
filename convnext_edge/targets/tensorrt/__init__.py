"""TensorRT and TensorRT-RTX: the target, the builder of engines, sessions on a GPU, folders for `trtexec`."""
