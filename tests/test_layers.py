"""The folders of the package: imports go down only, and no two modules import each other."""

from __future__ import annotations

import graphlib

import pytest

PACKAGE = "yolo_callbacks"
# From the top to the bottom; a module may import those of its own folder and of lower layers. Two folders in one layer
# do not import each other.
LAYERS = (
    ("__main__",),  # a module, for `python -m`
    ("cli",),
    ("config",),
    ("suite",),
    ("report",),
    ("loggers",),
    ("callbacks",),
    ("trainer", "state"),
    ("metrics",),
    ("decisions", "utils"),
)
LEVELS = {folder: level for level, layer in enumerate(reversed(LAYERS)) for folder in layer}
# These use the public names, as a user's code does.
ABOVE_THE_PUBLIC_NAMES = ("cli", "config")


@pytest.fixture(scope="module")
def graph():
    import grimp  # not on every machine with a GPU

    return grimp.build_graph(PACKAGE)


def folder_of(module: str) -> str:
    return module.split(".")[1]


def imports(graph):
    """Pairs of modules, the one that imports and the one that is imported."""
    for module in sorted(graph.modules - {PACKAGE}):
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            yield module, imported


def test_every_folder_has_a_layer(graph):
    assert {folder_of(module) for module in graph.modules - {PACKAGE}} == set(LEVELS)


def test_imports_go_down_only(graph):
    wrong = [
        f"{module} imports {imported}"
        for module, imported in imports(graph)
        if imported != PACKAGE
        and folder_of(module) != folder_of(imported)
        and LEVELS[folder_of(module)] <= LEVELS[folder_of(imported)]
    ]
    assert wrong == []


def test_no_two_modules_import_each_other(graph):
    sorter = graphlib.TopologicalSorter({module: set() for module in graph.modules})
    for module, imported in imports(graph):
        if imported != PACKAGE:
            sorter.add(module, imported)
    sorter.prepare()  # raises graphlib.CycleError


def test_the_public_names_are_imported_from_above_only(graph):
    found = {folder_of(module) for module, imported in imports(graph) if imported == PACKAGE}
    assert found <= set(ABOVE_THE_PUBLIC_NAMES)


def test_only_the_package_itself_and_its_command_are_at_the_top(graph):
    alone = [module for module in graph.modules if module.count(".") == 1 and not graph.find_children(module)]
    assert alone == [f"{PACKAGE}.__main__"]


@pytest.mark.parametrize("name", ["ultralytics", "torch", "wandb", "matplotlib", "cv2"])
def test_decisions_metrics_and_state_import_no_large_library(name):
    import grimp

    graph = grimp.build_graph(PACKAGE, include_external_packages=True)
    importers = graph.find_modules_that_directly_import(name) if name in graph.modules else set()
    assert not {module for module in importers if folder_of(module) in ("decisions", "metrics", "state")}
