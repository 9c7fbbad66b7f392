"""Trees of runs that do not go the usual way to the screen: their store is lost, or a forked child runs them."""

from __future__ import annotations

from tests.notebook.kernels import RUN_MIME, kernel

LOSES = """%%flyte
@env.task
async def item(n: int) -> int:
    if n == 3: shutil.rmtree(os.environ["FLYTE_NOTEBOOK_HOME"])
    await asyncio.sleep(0.1)
    return n

@env.task
async def main() -> int:
    return sum([await item(n) for n in range(60)])

await main()
"""

FORKS = """%%flyte
@env.task
async def leaf() -> int:
    return 1

@env.task
async def forks() -> int:
    child = os.fork()
    if not child:
        status = 3 if flyte.run(leaf).outputs()[0] == 1 else 4
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

await forks()
"""


def test_they_end_with_their_runs_and_stay_with_their_process(tmp_path) -> None:
    with kernel(FLYTE_NOTEBOOK_HOME=str(tmp_path / "home")) as running:
        running.run("%load_ext flyte_notebook\nimport asyncio, os, shutil", cell_id="a")
        lost = running.run(LOSES, cell_id="lost")
        assert lost.error["ename"] == "JournalError"
        (tree,) = lost.displays(RUN_MIME)
        assert tree["run"]["phase"] == "ABORTED"
        assert "RUNNING" not in {row.get("s") for row in tree["rows"]}
        forked = running.run(FORKS, cell_id="forks")
        assert forked.result == "3"
        (tree,) = forked.displays(RUN_MIME)
        assert tree["run"]["name"].startswith("forks")
        assert "fork" not in forked.complained
