"""Report sizes, cycles and repetition of the code; fail on what the house refuses.

Run by `make check` as `python -m tests.house.report`. Refused: a module over 400 lines, a function
over 60, an import cycle, a folder deeper than two under a top folder, a suppression without a
reason. Repetition (the same 8 code lines in two places) is reported; over 3 % it is refused.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grimp

ROOT: Final = Path(__file__).resolve().parent.parent.parent
FLOORS: Final = (
    "storage",
    "detectors",
    "pipelines",
    "business",
    "api",
    "dashboards",
    "agent",
    "deploy",
)
MODULE_LINES: Final = 400
FUNCTION_LINES: Final = 60
REPEATED_LINES: Final = 8
REPEATED_SHARE: Final = 0.03
_CODES = r"[A-Z]+[0-9]+(?:,\s*[A-Z]+[0-9]+)*"
_SUPPRESSION = re.compile(rf"#\s*(noqa(:\s*{_CODES})?|type:\s*ignore(\[[^\]]*\])?)\s*(.*)$")


def sources(root: Path = ROOT) -> Iterator[Path]:
    """Give every source file of the floors."""
    for floor in FLOORS:
        yield from sorted((root / floor).rglob("*.py"))


def large(root: Path = ROOT) -> list[str]:
    """Name modules and functions that are larger than the house takes."""
    found = []
    for path in sources(root):
        text = path.read_text(encoding="utf-8")
        place = path.relative_to(root)
        lines = text.count("\n")
        if lines > MODULE_LINES:
            found.append(f"{place}: {lines} lines; the limit is {MODULE_LINES}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > FUNCTION_LINES:
                    found.append(
                        f"{place}:{node.lineno} {node.name}: {size} lines; "
                        f"the limit is {FUNCTION_LINES}"
                    )
        if len(place.parts) > 4:
            found.append(f"{place}: deeper than two folders under {place.parts[0]}")
    return found


def unexplained(root: Path = ROOT) -> list[str]:
    """Name suppressions of a checker that give no reason."""
    found = []
    for path in sources(root):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            hit = _SUPPRESSION.search(line)
            if hit and len(hit.group(4).strip()) < 4:
                found.append(f"{path.relative_to(root)}:{number} suppression without a reason")
    return found


def cycles() -> list[str]:
    """Name import cycles between modules, counting every import."""
    graph = grimp.build_graph(*FLOORS, cache_dir=None)
    state: dict[str, int] = {}
    found: list[str] = []

    def visit(module: str, path: list[str]) -> None:
        state[module] = 1
        for target in sorted(graph.find_modules_directly_imported_by(module)):
            if state.get(target) == 1:
                loop = [*path[path.index(target) :], target] if target in path else [module, target]
                found.append("import cycle: " + " -> ".join(loop))
            elif target not in state:
                visit(target, [*path, target])
        state[module] = 2

    for module in sorted(graph.modules):
        if module not in state:
            visit(module, [module])
    return found


def repeated(root: Path = ROOT) -> tuple[list[str], float]:
    """Name runs of code lines that stand twice, and the share of all code lines they make."""
    seen: dict[tuple[str, ...], list[tuple[Path, int]]] = defaultdict(list)
    total = 0
    for path in sources(root):
        code = [
            (n, line.strip())
            for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if len(line.strip()) > 3 and not line.strip().startswith(("#", "from ", "import ", '"'))
        ]
        total += len(code)
        for i in range(len(code) - REPEATED_LINES + 1):
            window = tuple(text for _, text in code[i : i + REPEATED_LINES])
            seen[window].append((path.relative_to(root), code[i][0]))
    places = [p for p in seen.values() if len(p) > 1]
    rows = [" ~ ".join(f"{file}:{line}" for file, line in p) for p in places]
    return rows, len(places) / max(total, 1)


def main() -> int:
    """Print the report; give 1 if anything is refused."""
    refused = large() + unexplained() + cycles()
    twice, share = repeated()
    count = sum(1 for _ in sources())
    lines = sum(p.read_text(encoding="utf-8").count("\n") for p in sources())
    print(f"{count} modules, {lines} lines; repeated runs {len(twice)} ({share:.1%} of code lines)")
    for row in twice[:10]:
        print(f"  stands twice: {row}")
    if share > REPEATED_SHARE:
        refused.append(f"repetition {share:.1%} is over {REPEATED_SHARE:.0%}")
    for row in refused:
        print(f"refused: {row}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
