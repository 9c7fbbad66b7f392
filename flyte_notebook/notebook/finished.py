"""Shows a run that is over, from its tree and its record: at the end of a run, and by `%flyte show` and `export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flyte_notebook.errors import FlyteNotebookError
from flyte_notebook.notebook import frontend, saved, static
from flyte_notebook.notebook.detail import Detail, collect, detail
from flyte_notebook.notebook.outline import Outline
from flyte_notebook.notebook.tree import Tree

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from flyte_notebook.record.store import Store


def recorded_tree(store: Store, run: str) -> Tree:
    """The tree of a run as it is on record.

    Raises:
        RunNotFoundError: no run has this name.
        JournalError: the journal cannot be read.
    """
    tree = Tree(run)
    for event in store.journal.replay(run):
        tree.apply(event)
    return tree


def show(shell: InteractiveShell, tree: Tree, store: Store) -> None:
    """Display the finished tree where the running code displays."""
    if frontend.view_kind(shell)[0] == "terminal":
        from flyte_notebook.notebook.terminal import print_tree

        print_tree(tree)
        return
    from IPython.display import publish_display_data

    publish_display_data(mime_bundle(tree, store))


def mime_bundle(tree: Tree, store: Store) -> dict[str, Any]:
    """The tree as JSON for the JupyterLab extension, as HTML, and as text."""
    details, outline = _details(tree, store), Outline(tree.nodes)
    return {
        saved.MIME: saved.run_bundle(tree, details, outline),
        "text/html": static.html(tree, details, outline),
        "text/plain": static.text(tree, outline),
    }


def _details(tree: Tree, store: Store) -> dict[int, Detail]:
    nodes = saved.detailed(tree)
    if not nodes:
        return {}
    try:
        materials = collect(store.journal.replay(tree.run), {node.id for node in nodes if node.id is not None})
    except FlyteNotebookError:
        # The tree itself is known; what cannot be read is its details, and whoever wrote to the journal was told.
        return {}
    return saved.fitting((node.index, detail(materials[node.id], store)) for node in nodes if node.id is not None)
