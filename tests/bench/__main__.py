"""`make bench`: the budgets as a table of ratios, everything measured in one run on one machine."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).with_name("programs.py")
MICRO = 1e6
TURNS = 3


def measured(name: str) -> dict[str, Any]:
    """What a program of `programs.py` prints, run in a fresh interpreter."""
    # As installed: with compiled modules, also where the environment says not to write any.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, PROGRAMS, name], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def least(*names: str) -> list[dict[str, float]]:
    """The least of each figure of these programs, run in turn several times: other users of the machine only add."""
    rounds = [[measured(name) for name in names] for _ in range(TURNS)]
    return [{key: min(found[key] for found in each) for key in each[0]} for each in zip(*rounds, strict=True)]


def table(rows: list[tuple[str, str, str, str]]) -> str:
    """The rows as Markdown."""
    head = ("what", "measured", "budget", "")
    lines = [head, ("---", "---", "---", "---"), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def within(ok: bool) -> str:
    return "ok" if ok else "**over**"


def per_action(
    kind: str, ours: float, bare: float, sdk: float | None, persisted: float | None
) -> list[tuple[str, ...]]:
    rows = [
        (
            f"async action on record, {kind}",
            f"{ours * MICRO:.1f} µs ({ours / bare:.1f} × bare asyncio at {bare * MICRO:.1f} µs)",
            "40 µs",
            within(ours * MICRO <= 40),
        )
    ]
    if sdk is not None and persisted is not None:
        rows.append(
            (
                f"… against the SDK's local mode ({sdk * MICRO:.0f} µs)",
                f"1/{sdk / ours:.0f}",
                "1/15",
                within(sdk / ours >= 15),
            )
        )
        rows.append(
            (
                f"… against it with local persistence ({persisted * MICRO:.0f} µs)",
                f"1/{persisted / ours:.0f}",
                "1/150",
                within(persisted / ours >= 150),
            )
        )
    return rows


def large_data(large: dict[str, float], bare: dict[str, float]) -> list[tuple[str, ...]]:
    size = large["size"]
    return [
        (
            "DataFrame of 1 GB to 50 tasks: bytes written",
            f"{large['written'] / size:.2f} GB in {large['seconds']:.1f} s (hashed and written alone: {bare['seconds']:.1f} s)",
            "1.1 GB",
            within(large["written"] <= 1.1 * size),
        ),
        (
            "… memory of its 50 readers, beyond the page cache",
            f"{max(large['anonymous'], 0) / size:.3f} GB",
            "0.2 GB",
            within(large["anonymous"] <= 0.2 * size),
        ),
        (
            "… longest block of the loop",
            (
                f"{large['block'] * 1e3:.0f} ms, {large['busy'] * 1e3:.0f} ms of it the loop's own work "
                f"(hashed and written alone: {bare['block'] * 1e3:.0f} ms)"
            ),
            "50 ms",
            within(large["block"] <= 0.05),
        ),
    ]


def main() -> None:
    bare, ours = least("bare", "ours")
    has_sdk = importlib.util.find_spec("flyte") is not None
    sdk = measured("sdk") if has_sdk else {}
    persisted = measured("sdk_persisted") if has_sdk else {}
    rows: list[Any] = []
    for kind in ("gather", "sequential"):
        rows += per_action(kind, ours[kind], bare[kind], sdk.get(kind), persisted.get(kind))
    rows.append(
        (
            "sync task through `.aio`",
            f"{ours['thread'] * MICRO:.0f} µs ({ours['thread'] / bare['thread']:.1f} × a bare thread hop)",
            "120 µs",
            within(ours["thread"] * MICRO <= 120),
        )
    )
    (fan_out,) = least("fan_out")
    ratio = fan_out["seconds"] / fan_out["floor"]
    rows.append(
        (
            f"map of 1,000 × 10 ms sync tasks on {fan_out['threads']:.0f} threads",
            f"{fan_out['seconds']:.2f} s ({ratio:.2f} × the floor of {fan_out['floor']:.2f} s)",
            "1.3 × the floor",
            within(ratio <= 1.3),
        )
    )
    (resumed,) = least("resume")
    rows.append(
        (
            f"resume of {resumed['count']:,.0f} finished actions",
            f"{resumed['seconds']:.2f} s ({resumed['seconds'] / resumed['anew']:.1f} × calling them anew)",
            "0.5 s",
            within(resumed["seconds"] <= 0.5),
        )
    )
    rows += large_data(*least("large", "large_bare"))
    kept = measured("memory")["bytes"]
    rows.append(("memory kept per recorded action", f"{kept:.0f} B", "1,024 B", within(kept <= 1024)))
    imported = min(measured("imports")["seconds"] for _ in range(5))
    rows.append(
        ("`import flyte_notebook` beyond IPython", f"{imported * 1e3:.0f} ms", "60 ms", within(imported <= 0.06))
    )
    print(table(rows))
    if not has_sdk:
        print("\nThe Flyte SDK is not installed: `pip install flyte-notebook[bench]` for its rows.")


if __name__ == "__main__":
    main()
