"""A package, so that pytest does not put this folder on the path: `tensorrt` is to be NVIDIA's, not ours."""
