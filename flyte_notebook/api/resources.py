"""`Resources`: what a task asks a cluster for. Kept and shown here, used there."""

# The kind of exception follows the SDK.
# ruff: noqa: TRY004
from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, TypeAlias

_logger = logging.getLogger("flyte_notebook")

_ONE_TO_EIGHT = range(1, 9)
_TRAINIUM = (1, 4, 8, 16)
_COUNTS: dict[str, tuple[int, ...] | range] = {
    "A2": (1,),
    **dict.fromkeys(("A10", "A10G", "A100", "A100_80G", "B200", "H100", "H200", "L4", "L40s", "V100"), _ONE_TO_EIGHT),
    "RTX_PRO_4500": (1,),
    "RTX_PRO_6000": (1, 2),
    "GB10": (1,),
    "T4": _ONE_TO_EIGHT,
    **dict.fromkeys(("T4 shared", "L4 shared", "A10G shared", "A10 shared", "L40S shared"), (1,)),
    **dict.fromkeys(("Trn1", "Trn1n", "Trn2", "Trn2u"), _TRAINIUM),
    "Inf1": range(1, 17),
    "Inf2": range(1, 13),
    **dict.fromkeys(("MI100", "MI210", "MI250", "MI250X", "MI300A", "MI300X", "MI325X", "MI350X", "MI355X"), (1,)),
    "Gaudi1": (1,),
    "AppleSilicon": (1,),
}
ACCELERATORS = frozenset({f"{name}:{count}" for name, counts in _COUNTS.items() for count in counts} | {"AppleSilicon"})
"""Every accelerator string that a cluster knows, such as `"A100:4"`."""

_OLD_NAMES = {"A100 80G": "A100_80G", "RTX PRO 6000": "RTX_PRO_6000"}

Cores: TypeAlias = int | float | str


@dataclass
class Resources:
    """CPU, memory, accelerators and disk of a task.

    Raises:
        ValueError: a quantity that a cluster would not understand, naming the field.
    """

    cpu: Cores | tuple[Cores, Cores] | None = None
    """Cores (`1`, `0.5`, `"500m"`), or a pair of request and limit."""
    memory: str | tuple[str, str] | None = None
    """A quantity such as `"1Gi"`, or a pair of request and limit."""
    gpu: str | int | None = None
    """How many, or which and how many: `"T4:1"`."""
    disk: str | None = None
    shm: str | None = None
    """Shared memory: a quantity, or `"auto"`."""

    def __post_init__(self) -> None:
        for name in ("cpu", "memory"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != 2:
                raise ValueError(f"{name} tuple must have exactly two elements")
            for part in value if isinstance(value, tuple) else () if value is None else (value,):
                if part is None:
                    raise ValueError(f"{name} pair elements must both be set, got None")
                (_check_cores if name == "cpu" else _check_quantity)(name, part)
        for name in ("disk", "shm"):
            value = getattr(self, name)
            if value is not None:
                _check_quantity(name, value)
        self.gpu = _checked_gpu(self.gpu)


def _check_cores(name: str, value: Any) -> None:
    if not isinstance(value, int | float | str):
        raise ValueError(
            f"{name} must be a core count or a Kubernetes quantity string such as 1, 0.5 or '100m', "
            f"got {type(value).__name__}: {value!r}"
        )
    if not isinstance(value, str) and value < 0:
        raise ValueError(f"{name} must be greater than or equal to 0")


def _check_quantity(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(
            f"{name} must be a Kubernetes quantity string such as '1Gi', '512Mi' or '2G', "
            f"got {type(value).__name__}: {value!r}"
        )


def _checked_gpu(value: object) -> str | int | None:
    if value is None:
        return None
    if isinstance(value, int):
        if value < 0:
            raise ValueError("gpu must be greater than or equal to 0")
        return value
    if not isinstance(value, str):
        raise ValueError(
            f"gpu must be an accelerator string such as 'A100:4' or a device count, "
            f"got {type(value).__name__}: {value!r}"
        )
    device, colon, count = value.partition(":")
    if device in _OLD_NAMES:
        _logger.warning("GPU type '%s' is deprecated, use '%s' instead.", device, _OLD_NAMES[device])
        value = f"{_OLD_NAMES[device]}{colon}{count}"
    if value not in ACCELERATORS:
        known = ", ".join(f"{name}:{'|'.join(map(str, counts))}" for name, counts in _COUNTS.items())
        raise ValueError(f"gpu must be one of {known}, got {value}")
    return value
