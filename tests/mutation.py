"""Which small mistakes in the kernel (with its ledger), the greeks and the surface the tests would notice.

    uv run --group mutation python tests/mutation.py --seed 1 --mutants 100 --out mutants.json

cosmic-ray makes the mutants: every operator, sign, condition and off-by-one mistake in code that runs. So many are
drawn, all with the same chance, and each is put into a copy of the program, which then has to pass the tests of the
mutated module, stage by stage. The results are in the file after every attempt; the same command goes on where it was
stopped (after an edit begin a new file: mutants are told apart by their number in a file).
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

HOME = Path(__file__).parents[1]
COPIED = ("sim", "agents", "configs", "tests", "pyproject.toml")
OPERATORS = re.compile(r"core/(Replace(Binary|Unary|Comparison)Operator|AddNot|NumberReplacer|Replace\w+With\w+)")
LEFT_OUT = re.compile(r"_Is(Not)?(_|$)|Break")
"""Whether two numbers are one object is no question that this program asks."""
NODES = {"operator", "number", "keyword", "comparison", "factor", "not_test", "test", "if_stmt", "while_stmt"}
"""Kinds of syntax that these operators mutate; to ask them about all others takes long."""
NO_PROGRAM = {"__init__.py", "jit.py", "stream.py"}
"""Kernel files that say how to compile, or what the benchmark plays."""
MEMORY_BYTES = 4 << 30
LOOKS_PER_SECOND = 10


class Stage(NamedTuple):
    """Tests that a mutant has to pass, and the time after which it hangs: the processor's, however busy it is."""

    name: str
    tests: str
    cpu_s: int
    skipped: str = "no_test_is_called_so"


SLOW_IN_PLAIN = (
    "streams or many or without_jit or without_the_compiler or compiled_code or halted_market or work_respects"
)
STAGES = {
    "kernel": [
        Stage("plain", "test_replay test_kernel", 50, SLOW_IN_PLAIN),
        Stage("compiled", "test_kernel test_replay test_market test_maker test_hardened test_theory_book", 900),
    ],
    "greeks": [
        Stage("plain", "test_greeks test_vix test_surface", 120),
        Stage("compiled", "test_greeks test_options test_surface test_vix", 400),
    ],
    "surface": [Stage("compiled", "test_surface test_vix", 400)],
}
"""By module, the cheapest first: most mutants die before anything is compiled."""
NOT_COMPILED = {"surface"}


class Mutant(NamedTuple):
    """A mistake: in which file, which operator of cosmic-ray made it at which of its places, and what it made."""

    path: str
    operator: str
    occurrence: int
    line: int
    change: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.path} {self.operator} {self.occurrence}"

    @property
    def module(self) -> str:
        return "kernel" if "kernel" in self.path else Path(self.path).stem

    def described(self) -> dict[str, Any]:
        """What the file of results says before any stage."""
        return {"path": self.path, "line": self.line, "change": self.change, "seconds": 0.0, "ends": {}}


class _Essence(ast.NodeTransformer):
    """Takes out what does not run: annotations. And what is not to be mutated: decorators."""

    def visit(self, node: ast.AST) -> ast.AST:
        for field in ("annotation", "returns"):
            if getattr(node, field, None) is not None:
                setattr(node, field, ast.Constant(0))
        if hasattr(node, "decorator_list"):
            node.decorator_list = []
        return self.generic_visit(node)


def essence(code: str) -> str | None:
    """What runs of a program; None where it is no program."""
    try:
        return ast.dump(_Essence().visit(ast.parse(code)))
    except SyntaxError:
        return None


def places(path: str) -> Iterator[tuple[str, str, int]]:
    """All mutants of a file: (path, operator, occurrence)."""
    nodes = [node for node in ast_nodes(get_ast((HOME / path).read_text())) if node.type in NODES]
    for name in sorted(operator_names()):
        if OPERATORS.match(name) and not LEFT_OUT.search(name):
            operator = get_operator(name)()
            count = sum(len(list(operator.mutation_positions(node))) for node in nodes)
            yield from ((path, name, occurrence) for occurrence in range(count))


def mutate(path: str, name: str, occurrence: int) -> Mutant | None:
    """One mutant; None where it is no program or runs as the original does."""
    code = (HOME / path).read_text()
    mutated = mutate_code(code, get_operator(name)(), occurrence)
    if essence(mutated) in (None, essence(code)):
        return None
    before, after = code.splitlines(), mutated.splitlines()
    line = next(n for n, (old, new) in enumerate(zip(before, after, strict=True), 1) if old != new)
    change = [text for text in difflib.ndiff(before[line - 1 : line], after[line - 1 : line]) if text[0] in "-+"]
    return Mutant(path, name, occurrence, line, "\n".join(change), mutated)


def drawn(seed: int, count: int) -> list[Mutant]:
    """So many mutants, each as likely as any other; the first ones are the same however many are drawn."""
    kernel = sorted(path for path in (HOME / "sim/kernel").glob("*.py") if path.name not in NO_PROGRAM)
    paths = [*(str(path.relative_to(HOME)) for path in kernel), "sim/greeks.py", "sim/surface.py"]
    every = [place for path in paths for place in places(path)]
    random.Random(seed).shuffle(every)
    mutants = (mutant for place in every if (mutant := mutate(*place)) is not None)
    return [mutant for mutant, _ in zip(mutants, range(count), strict=False)]


def tried(home: Path, module: str, stage: Stage) -> str:
    """Run a stage in a copy of the program: "passed", "failed", "hung" or "grew"."""
    cache = home / "cache" / module
    if module not in NOT_COMPILED:
        shutil.rmtree(cache, ignore_errors=True)
    environment = {"NUMBA_DISABLE_JIT": str(int(stage.name == "plain")), "NUMBA_CACHE_DIR": str(cache)}
    # No bytecode: of two edits in one second Python would see the first.
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(home)}
    options = ["-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-k", f"not ({stage.skipped})"]
    child = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *(f"tests/{name}.py" for name in stage.tests.split())],
        cwd=home,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (stage.cpu_s, stage.cpu_s + 1)),
    )
    try:
        return watched(child)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def watched(child: subprocess.Popen[bytes]) -> str:
    """Wait for the end of a child, or for that of its memory."""
    while child.poll() is None:
        # The kernel reserves far more than it touches: a limit on addresses would stop the program itself.
        if resident_bytes(child.pid) > MEMORY_BYTES:
            return "grew"
        time.sleep(1 / LOOKS_PER_SECOND)
    return {0: "passed", -signal.SIGXCPU: "hung"}.get(child.returncode, "failed")


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def attempt(home: Path, mutant: Mutant, stage: Stage) -> str:
    """Put a mutant into the copy, try it, and put the program back."""
    (home / mutant.path).write_text(mutant.code)
    try:
        return tried(home, mutant.module, stage)
    finally:
        shutil.copy2(HOME / mutant.path, home / mutant.path)


def copy_to(home: Path) -> None:
    for name in COPIED:
        copy = shutil.copytree if (HOME / name).is_dir() else shutil.copy2
        copy(HOME / name, home / name)


def run_stage(home: Path, depth: int, mutants: list[Mutant], results: dict[str, dict[str, Any]], out: Path) -> None:
    """Try the mutants that are alive after `depth` stages on the next one of their module."""
    sound = set()
    for mutant in mutants:
        ends = results.setdefault(mutant.name, mutant.described())["ends"]
        if len(ends) != depth or depth == len(STAGES[mutant.module]) or not is_alive(ends):
            continue
        stage = STAGES[mutant.module][depth]
        if mutant.module not in sound and (end := tried(home, mutant.module, stage)) != "passed":
            sys.exit(f"the program itself does not pass the stage {stage.name} of {mutant.module}: {end}")
        sound.add(mutant.module)
        start_s = time.monotonic()
        ends[stage.name] = attempt(home, mutant, stage)
        results[mutant.name]["seconds"] += round(time.monotonic() - start_s, 1)
        out.write_text(json.dumps(results, indent=1))
        print(f"{mutant.path}:{mutant.line} {stage.name}: {ends[stage.name]}\n{mutant.change}", flush=True)


def is_alive(ends: dict[str, str]) -> bool:
    return all(end == "passed" for end in ends.values())


def run(seed: int, count: int, out: Path) -> None:
    """Try the drawn mutants on all stages, where the file does not say how they end."""
    mutants = drawn(seed, count)
    results: dict[str, dict[str, Any]] = json.loads(out.read_text()) if out.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        copy_to(Path(folder))
        for depth in range(max(map(len, STAGES.values()))):
            run_stage(Path(folder), depth, mutants, results, out)
    survivors = [mutant for mutant in mutants if is_alive(results[mutant.name]["ends"])]
    print(f"{len(mutants) - len(survivors)} of {len(mutants)} mutants killed; survivors:")
    for mutant in survivors:
        print(f"{mutant.path}:{mutant.line}\n{mutant.change}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutants", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("mutants.json"))
    arguments = parser.parse_args()
    run(arguments.seed, arguments.mutants, arguments.out)


if __name__ == "__main__":
    main()
