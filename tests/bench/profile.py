"""`make profile`: where the time of an action goes, by module and by function, as cProfile sees the loop's thread.

cProfile makes every call dearer, so shares mean something here and times do not: `make bench` has those. The thread that
commits is not in it; its share is the last line, measured as processor time.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

COUNT = 5_000
SHOWN = 12


def room(filename: str) -> str:
    """The module that a function belongs to, as people call it."""
    path = Path(filename)
    if "flyte_notebook" in path.parts:
        start = len(path.parts) - 1 - path.parts[::-1].index("flyte_notebook")
        return ".".join(path.parts[start + 1 :]).removesuffix(".py")
    if "asyncio" in path.parts or "selectors" in path.name:
        return "asyncio"
    return "built-in functions" if filename == "~" else path.stem


def report(stats: pstats.Stats, total: float) -> str:
    """Shares of the modules, then of the functions, the largest first."""
    rooms: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for (filename, _, name), (_, _, own, *_) in stats.stats.items():  # type: ignore[attr-defined]
        rooms[room(filename)] += own
        functions[f"{room(filename)}: {name}"] += own
    lines = []
    for counted in (rooms, functions):
        lines += [f"{own / total:6.1%}  {name}" for name, own in counted.most_common(SHOWN)]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    os.environ["FLYTE_NOTEBOOK_HOME"] = tempfile.mkdtemp(prefix="flyte-bench-")
    import flyte_notebook as flyte
    from tests.bench.programs import example_tasks

    tasks = example_tasks(flyte)
    for name in sys.argv[1:] or ("gather", "sequential", "thread"):
        flyte.run(tasks[name], n=100)  # everything is imported, every fingerprint taken
        whole, mine = time.process_time(), time.thread_time()
        flyte.run(tasks[name], n=COUNT)
        whole, mine = time.process_time() - whole, time.thread_time() - mine
        profile = cProfile.Profile()
        profile.runcall(flyte.run, tasks[name], n=COUNT)
        stats = pstats.Stats(profile)
        print(f"{name}, {COUNT:,} actions: {mine / COUNT * 1e6:.1f} µs each on the loop's thread\n")
        print(report(stats, stats.total_tt))  # type: ignore[attr-defined]
        print(f"Other threads: {(whole - mine) / COUNT * 1e6:.1f} µs of processor time an action\n")


if __name__ == "__main__":
    main()
