"""Who may import whom. Imports point down only; the heavy libraries stay in their corners."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("sim/**/*.py"), *ROOT.glob("agents/*.py")])
ORDER = [
    "sim.kernel sim.units sim.palette sim.figures sim.files",
    "sim.greeks sim.clock",
    "sim.options",
    "sim.surface",
    "sim.vix",
    "sim.market sim.trader",
    "sim.tables",
    "sim.scenario",
    "sim.describe sim.alarms sim.desk sim.news sim.lobster sim.analysis",
    "sim.view sim.floor",
    "sim.recorder",
    "sim.model",
    "sim.report sim.records",
]
"""Modules from below to above; one may import those of lower rows and of its own. Those not named stand above."""
RANK = {name: rank for rank, row in enumerate(ORDER) for name in row.split()}
CORNERS = {
    "numba": ("sim.kernel", "sim.greeks"),
    "solara": ("sim.page.app", "sim.page.plain", "sim.page.server"),
    "mesa": ("sim.model", "sim.trader", "sim.page.plain", "sim.sweep.speed"),
}
AGENTS_MAY = {"sim.trader", "sim.options", "sim.greeks", "sim.units", "sim.view", "sim.clock"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def unit_of(module: str) -> str:
    """A module, or the folder of `sim` it stands in."""
    return ".".join(module.split(".")[:2])


def imports(path: Path, *, at_run_time: bool = True) -> set[str]:
    """Modules that a file imports, anywhere in it; those under TYPE_CHECKING only where they are asked for."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and at_run_time:
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names if module == "sim")}
        waiting += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    own = name_of(path)
    above = len(ORDER)
    for module in imports(path):
        if own.startswith("sim") and module.split(".")[0] == "agents":
            pytest.fail(f"{own} imports {module}: agents are named by their import paths")
        if own.startswith("sim.") and module.startswith("sim.") and unit_of(module) in RANK:
            assert RANK[unit_of(module)] <= RANK.get(unit_of(own), above), f"{own} imports {module}, which is above it"
        if own.startswith("sim.") and module.startswith("sim.") and unit_of(module) not in RANK:
            assert unit_of(own) not in RANK or unit_of(module) == "sim.scenario", f"{own} imports {module}"
        if own.startswith("agents") and module.split(".")[0] == "sim" and module != "sim":
            assert unit_of(module) in AGENTS_MAY, f"{own} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_heavy_libraries_stay_in_their_corners(path: Path) -> None:
    own = name_of(path)
    for module in imports(path):
        corner = CORNERS.get(module.split(".")[0])
        assert corner is None or own.startswith(corner), f"{own} imports {module}"


def test_kernel_knows_nothing_above_it() -> None:
    for path in ROOT.glob("sim/kernel/*.py"):
        outside = {module for module in imports(path) if module.startswith("sim.")}
        assert all(module.startswith("sim.kernel") for module in outside), path


def test_only_the_market_calls_the_kernel() -> None:
    """Others take codes, names of columns and draws; the benchmark measures the kernel bare."""
    for path in SOURCES:
        own = name_of(path)
        if own.startswith("sim.kernel") or own in ("sim.market", "sim.bench"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sim.kernel"):
                names = {alias.name for alias in node.names}
                plain = names <= {"codes", "world"} if node.module == "sim.kernel" else all(map(str.isupper, names))
                assert plain or node.module == "sim.kernel.draws", f"{own} imports {names} from {node.module}"


def test_every_module_that_is_named_exists() -> None:
    known = {unit_of(name_of(path)) for path in SOURCES}
    assert set(RANK) <= known


def test_nothing_reads_what_is_shared() -> None:
    """The background papers beside the checkout are not part of the project."""
    beside = "/".join(("..", "shared"))
    for path in SOURCES:
        assert beside not in path.read_text()
