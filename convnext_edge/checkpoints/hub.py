"""Weights of a named variant from timm's repositories on the Hugging Face hub.

The hub's own client downloads and caches. It follows HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN and
the proxy settings, and shows its progress bar on a terminal only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from convnext_edge.artifacts.names import fault
from convnext_edge.checkpoints.folders import MOST_PARTS, IndexShape
from convnext_edge.checkpoints.preparation.timm import of_pretrained
from convnext_edge.checkpoints.recognition import recognize
from convnext_edge.checkpoints.sizes import visible
from convnext_edge.checkpoints.variants import Variant
from convnext_edge.errors import CheckpointError, DownloadError
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.progress import handed_over, phase
from convnext_edge.reading import MAX_BYTES, Line, Shape, check, parse_json, read_bytes, read_json, shown

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
NOT_FOUND = 404  # of HTTP
TIMEOUT = 5  # seconds until the first answer; the client's own retries would take half a minute

WAY_OUT = (
    "If you have a weights file, give it with --checkpoint FILE. HF_ENDPOINT names another server;"
    " HF_HUB_OFFLINE=1 uses only what is downloaded already."
)


class NeededShape(Shape):
    """What timm's `pretrained_cfg` must have: a default of timm need not be what the model was made for."""

    input_size: list[int]
    crop_pct: float
    interpolation: Line
    mean: list[float]
    std: list[float]


class ConfigShape(Shape):
    """What is read of config.json, besides values that must be one certain value."""

    pretrained_cfg: NeededShape


@dataclass(frozen=True)
class Fetched:
    """Weights that were downloaded or found in the cache, with what the hub says about them."""

    path: Path  # the weights file, in the client's cache
    preprocessing: Preprocessing
    source: str  # repository of the hub
    revision: str  # commit of the repository


def fetch(variant: Variant, *, endpoint: str | None = None) -> Fetched:
    """Download the weights of a variant, or take them from the cache if the hub does not answer.

    endpoint: address of the hub, by default $HF_ENDPOINT or https://huggingface.co. Raises DownloadError if
    the weights are neither on the hub nor in the cache, or are not those of this variant.
    """
    return accept(variant, *_download(variant.source, endpoint))


def accept(variant: Variant, config_path: Path, weights_path: Path) -> Fetched:
    """Check the two files of a repository; raise DownloadError where they are not those of the variant."""
    where = f"{CONFIG} of {variant.source}"
    config, preprocessing = read_config(config_path, where)
    _check_config(config, variant, where)
    _check_weights(weights_path, variant)
    return Fetched(weights_path, preprocessing, variant.source, revision=weights_path.parent.name)


def fetch_folder(
    repository: str,
    revision: str | None,
    optional: Sequence[str],
    weights: Sequence[str],
    *,
    endpoint: str | None = None,
) -> Path:
    """Download a repository's weights and configs, or take them from the cache if the hub does not answer.

    revision: branch, tag or commit, by default the main branch. optional: names of the configs. weights:
    names of which the first that is there is taken, with all parts where it is an index. Returns the folder
    in the client's cache, whose name is the commit. Raises DownloadError where there are no weights.
    """
    store = _Repository(repository, revision, endpoint)
    configs = [store.get(name) for name in optional]
    found = next((path for name in weights if (path := store.get(name)) is not None), None)
    if found is None:
        reason = store.failure or f"it has none of {', '.join(weights)}"
        raise DownloadError(
            f"no weights of {repository} could be had from {_address(endpoint)}: {reason}", hint=WAY_OUT
        )
    if found.name.endswith(".index.json"):
        _get_parts(store, found)
    assert all(path is None or path.parent == found.parent for path in configs)  # all of one commit
    return found.parent


class _Repository:
    """A repository of the hub at one commit: that of the first file that was found."""

    def __init__(self, repository: str, revision: str | None, endpoint: str | None) -> None:
        from huggingface_hub.errors import EntryNotFoundError

        self._repository, self._endpoint = repository, endpoint
        self._commit = revision
        with phase(f"asking {_address(endpoint)}"):
            failed = _probe(repository, endpoint, revision)
        missing = isinstance(failed, EntryNotFoundError) and _status(failed) == NOT_FOUND
        if missing:  # a repository without a config, which may have weights
            failed = None
        self._cached_only = failed is not None
        self.failure = None if failed is None else _explain(failed)

    def need(self, name: str) -> Path:
        """Return the path of a file, CACHE/.../snapshots/COMMIT/NAME; raise what the client raises."""
        from huggingface_hub import hf_hub_download

        with phase(f"downloading {self._repository}"), handed_over():
            found = hf_hub_download(
                self._repository,
                name,
                revision=self._commit,
                endpoint=self._endpoint,
                etag_timeout=TIMEOUT,
                local_files_only=self._cached_only,
            )
        path = Path(found)
        self._commit = path.parent.name
        return path

    def get(self, name: str) -> Path | None:
        """Return the path of a file, None where the repository has none of that name."""
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            return self.need(name)
        except (EntryNotFoundError, LocalEntryNotFoundError):
            return None
        except Exception as error:  # the client's errors come from whichever HTTP library its version uses
            raise self.refusal(f"{name} of {self._repository}", error) from error

    def refusal(self, what: str, error: Exception) -> DownloadError:
        """Return the error for what could not be downloaded."""
        reason = self.failure or _explain(error)
        address = _address(self._endpoint)
        return DownloadError(f"{what} could not be downloaded from {address}: {reason}", hint=WAY_OUT)


def _get_parts(store: _Repository, index: Path) -> None:
    """Download the files that an index names; those of other names than plain ones are refused on reading."""
    content = read_json(index, IndexShape, hint=WAY_OUT, kind=DownloadError)
    for name in sorted(set(content["weight_map"].values()))[:MOST_PARTS]:
        if not fault(name):
            store.get(name)


def read_config(path: Path, where: str) -> tuple[dict[str, Any], Preprocessing]:
    """Read a repository's config, and the preprocessing in it; `where` is its name for messages.

    Raises DownloadError for what is no such config, or has a preprocessing that we do not know.
    """
    try:
        config = parse_json(read_bytes(path, MAX_BYTES))
        check(config, ConfigShape)
        return config, _preprocessing(config["pretrained_cfg"])
    except ValueError as error:
        raise DownloadError(f"{where} has no preprocessing that we know: {error}", hint=WAY_OUT) from error


def _download(repository: str, endpoint: str | None) -> tuple[Path, Path]:
    """Return the paths of config and weights, both of one commit."""
    store = _Repository(repository, None, endpoint)
    try:
        return store.need(CONFIG), store.need(WEIGHTS)
    except Exception as error:  # as in `get`
        raise store.refusal(repository, error) from error


def _probe(repository: str, endpoint: str | None, revision: str | None) -> Exception | None:
    """Return why the hub does not serve the repository now, None if it does.

    It is asked once, without the client's retries.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    address = hf_hub_url(repository, CONFIG, revision=revision, endpoint=endpoint)
    try:
        get_hf_file_metadata(address, timeout=TIMEOUT)
    except Exception as error:  # as above
        return error
    return None


def _status(error: Exception) -> int | None:
    """Return what the server answered, as HTTP has it; None where it did not answer."""
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    return status


def _explain(error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, and the repository is not in the cache"
    if isinstance(error, GatedRepoError):
        return "the repository is gated: its owner must grant access to the account of HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such repository, or it is private and HF_TOKEN does not open it"
    if (status := _status(error)) is not None:
        return f"the server answered HTTP {status}"
    first_line = (str(error).splitlines() or [""])[0]
    return f"no usable answer ({type(error).__name__}: {first_line})"


def _address(endpoint: str | None) -> str:
    from huggingface_hub import constants

    return endpoint or constants.ENDPOINT


def _preprocessing(config: dict[str, Any]) -> Preprocessing:
    """Read timm's `pretrained_cfg`; raise ValueError for a preprocessing that we do not know."""
    found = of_pretrained(config)
    if len(found.mean) != 3 or found.width is not None:
        raise ValueError(f"input_size {config['input_size']} is not a square of three channels")
    return found


def _check_config(config: dict[str, Any], variant: Variant, where: str) -> None:
    expected = {
        "architecture": variant.source.removeprefix("timm/").partition(".")[0],
        "num_classes": variant.classes,
        "model_args": None,  # would change the model in ways that need not show in its weights
    }
    for key, value in expected.items():
        if config.get(key) != value:
            raise DownloadError(
                f"{where} has {key} {shown(config.get(key))}, not {shown(value)}", hint=WAY_OUT
            )


def _check_weights(path: Path, variant: Variant) -> None:
    where = f"{WEIGHTS} of {variant.source}"
    try:
        with safe_open(path, framework="np") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        architecture = recognize(shapes, where).architecture
    except (OSError, SafetensorError, CheckpointError) as error:
        raise DownloadError(f"{where} cannot be used: {error}", hint=WAY_OUT) from error
    if visible(architecture) != visible(variant.architecture):
        raise DownloadError(
            f"{where} holds {architecture}, but {variant.name} is {variant.architecture}", hint=WAY_OUT
        )
