"""What is known of a run before it begins: how it was asked to behave, and where it was started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run was asked to behave; the names are those of `flyte.with_runcontext`."""

    name: str | None = None
    mode: str = "local"
    hide: bool = False
    cache: str | None = None
    """Cache behaviour for tasks that declare none (`%%flyte --cache`)."""
    overwrite_cache: bool = False
    disable_run_cache: bool = False
    max_action_concurrency: int = 0
    custom_context: Mapping[str, str] = field(default_factory=dict)
    raw_data_path: str | None = None
    declared: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able options without meaning in a kernel, kept for the record: labels, project, domain, image, …"""

    def recorded(self) -> dict[str, Any]:
        """JSON-able: what was asked for, for the record; `of_record` reads it again."""
        asked = {name: getattr(self, name) for name in _RECORDED}
        return {"mode": self.mode, **{name: value for name, value in asked.items() if value}, **self.declared}

    @classmethod
    def of_record(cls, options: Mapping[str, Any]) -> Settings:
        """The settings of a recorded run, for one that resumes it; its name stays its own."""
        declared = {name: value for name, value in options.items() if name not in (*_RECORDED, "mode", "keep", "cell")}
        return cls(**{name: options[name] for name in _RECORDED if name in options}, declared=declared)


_RECORDED = (
    "cache",
    "overwrite_cache",
    "disable_run_cache",
    "max_action_concurrency",
    "custom_context",
    "raw_data_path",
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run was started."""

    notebook: str | None = None
    cell_id: str | None = None
    source: str | None = None
    execution: str | None = None
    """What one execution of a cell has for all the runs that it starts."""
