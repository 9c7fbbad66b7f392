"""The package under the name `flyte`: for code that says `import flyte`, and for names that only the SDK has."""

from __future__ import annotations

import importlib
import importlib.util
import sys

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


def _whereabouts(name: str) -> str:
    for submodule in SUBMODULES:
        if hasattr(importlib.import_module(f"{PACKAGE}.{submodule}"), name):
            return f"It is in flyte.{submodule}."
    if name in SDK_ONLY:
        return "It exists in the Flyte SDK (`pip install flyte`), for use with a Flyte cluster."
    return "The Flyte SDK has no such name in its public API either."


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
