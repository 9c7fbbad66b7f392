"""The package under the name `flyte`: for code that says `import flyte`, and for names that only the SDK has."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

from flyte_notebook.errors import FlyteNotebookError

PACKAGE = "flyte_notebook"
SUBMODULES = ("errors", "io", "report", "durable")
"""The SDK's public submodules that exist here too."""


def install_as_flyte() -> None:
    """Make `import flyte` mean this package from now on, in this process; twice is harmless.

    Raises:
        FlyteNotebookError: the real SDK is imported already; call this first.
    """
    package = sys.modules[PACKAGE]
    present = sys.modules.get("flyte")
    if present is not None and present is not package:
        raise FlyteNotebookError(
            "The Flyte SDK is already imported as `flyte`. Call flyte_notebook.install_as_flyte() before any "
            "`import flyte`, or write `import flyte_notebook as flyte`."
        )
    sys.modules["flyte"] = package
    for name in SUBMODULES:
        sys.modules[f"flyte.{name}"] = importlib.import_module(f"{PACKAGE}.{name}")


def missing(name: str) -> str:
    """What an AttributeError says for `name`: that it is not here, and where it does exist."""
    here = f"module 'flyte_notebook' has no attribute {name!r}"
    if name.startswith("_"):
        return here
    return f"{here}. {_whereabouts(name)}"


def unimportable(module: str, names: Sequence[str] = ()) -> str | None:
    """What the ImportError says for `from MODULE import NAMES`; None when nothing is missing.

    `module` is this package, or a submodule such as `flyte_notebook.io`.
    """
    submodule = module.split(".")[1:2]
    absent = (name for name in submodule or names if name != "*" and not _is_here(name))
    return next(map(missing, absent), None)


def _is_here(name: str) -> bool:
    return hasattr(sys.modules[PACKAGE], name) or importlib.util.find_spec(f"{PACKAGE}.{name}") is not None


def _whereabouts(name: str) -> str:
    for submodule in SUBMODULES:
        if _is_public(importlib.import_module(f"{PACKAGE}.{submodule}"), name):
            return f"It is in flyte.{submodule}."
    if name in SDK_ONLY:
        return "It exists in the Flyte SDK (`pip install flyte`), for use with a Flyte cluster."
    return "The Flyte SDK has no such name in its public API either."


def _is_public(module: ModuleType, name: str) -> bool:
    """True for a name that the module offers, and not for what it imports for itself."""
    offered = getattr(module, "__all__", None)
    if offered is not None:
        return name in offered
    return getattr(getattr(module, name, None), "__module__", None) == module.__name__


SDK_ONLY = frozenset(
    (
        "AMD_GPU",
        "APPLE_SILICON",
        "AppHandle",
        "AsyncFunctionTaskTemplate",
        "BaseCheckpoint",
        "CachePolicy",
        "CacheRequest",
        "Checkpoint",
        "ConditionWebhook",
        "Cron",
        "Device",
        "DeviceClass",
        "Documentation",
        "Environment",
        "FixedRate",
        "GPU",
        "HABANA_GAUDI",
        "ImageBuild",
        "Link",
        "Neuron",
        "OnArtifact",
        "PodTemplate",
        "SecretRequest",
        "TPU",
        "TimeoutType",
        "Trigger",
        "TriggerTime",
        "TriggeredArtifact",
        "TriggeredPartition",
        "ai",
        "app",
        "artifacts",
        "build",
        "build_images",
        "cli",
        "clustered",
        "config",
        "connectors",
        "current_domain",
        "current_project",
        "deploy",
        "extend",
        "extras",
        "git",
        "init_from_api_key",
        "init_in_cluster",
        "init_passthrough",
        "is_control_plane_available",
        "latest_checkpoint",
        "load_interactive_ctx",
        "load_plugin_config",
        "models",
        "new_condition",
        "notify",
        "prefetch",
        "remote",
        "rerun",
        "run_python_script",
        "sandbox",
        "serve",
        "storage",
        "syncify",
        "system_logger",
        "types",
        "version",
        "with_servecontext",
    )
)
"""Public names of flyte 2.12 that have no counterpart here."""
