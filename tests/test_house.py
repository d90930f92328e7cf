"""The order of the house: who may import whom, what stays light, what a tracked file may hold."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from types import ModuleType

import pytest

import kmon_analysis
from tests.tools import REPOSITORY, require

PACKAGE = REPOSITORY / "kmon_analysis"
MODULES = sorted(PACKAGE.rglob("*.py"))
INNER = [path for path in MODULES if path != PACKAGE / "__init__.py"]

# A module imports only from its own room and from rooms that stand before it in this list.
ROOMS = (
    "errors",
    "timing",
    "tabular",
    "labels",
    "series",
    "history",
    "sources",
    "promql",
    "rules",
    "incidents",
    "backtest",
    "recommend",
    "labelling",
    "kafka",
    "export",
    "report",
    "progress",
    "postmortem",
    "explore",
    "health",
    "workflow",
    "cli",
    "__main__",
)
# Results draw and write themselves: these methods may reach down, at call time.
LATE = {
    ("recommend", "progress"),
    ("backtest", "report"),
    ("backtest", "explore"),
    ("recommend", "report"),
    ("recommend", "export"),
    ("recommend", "explore"),
}
LATE_METHODS = {"plot", "explore", "write"}
LONGEST_FILE = 600
HEAVY = ("matplotlib", "numba", "llvmlite", "pandas", "scipy", "pyarrow")


def room_of(module):
    """Name the room: a module, a folder, or a module split into siblings (``history_store`` lies in ``history``)."""
    name = module.split(".")[1]
    return name if name in ROOMS else name.partition("_")[0]


def module_name(path):
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Imports(ast.NodeVisitor):
    """Collect (line, imported module, enclosing classes and functions as (node type, name))."""

    def __init__(self, source, package):
        self.package = package
        self.scope = ()
        self.found = []
        self.visit(ast.parse(source))

    def visit(self, node):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            outside, self.scope = self.scope, (*self.scope, (type(node), node.name))
            self.generic_visit(node)
            self.scope = outside
        elif isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            outside, self.scope = self.scope, (*self.scope, (ast.If, "TYPE_CHECKING"))
            self.generic_visit(node)
            self.scope = outside
        elif isinstance(node, ast.Import):
            self.found += [(node.lineno, alias.name, self.scope) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = self.package.split(".")
                base = ".".join([*above[: len(above) - node.level + 1], *filter(None, [node.module])])
            if base == "kmon_analysis":
                self.found += [(node.lineno, f"{base}.{alias.name}", self.scope) for alias in node.names]
            else:
                self.found.append((node.lineno, base, self.scope))
        else:
            self.generic_visit(node)


def broken_order(module, source, is_package=False):
    """List the imports of a module's source that point down the house."""
    room = room_of(module)
    found = Imports(source, module if is_package else module.rpartition(".")[0]).found
    wrong = []
    for line, target, scope in found:
        if not target.startswith("kmon_analysis.") or target == "kmon_analysis.__version__":
            continue
        other = room_of(target)
        assert other in ROOMS, f"{module}:{line} imports {target}: that room has no place in ROOMS yet"
        if ROOMS.index(other) <= ROOMS.index(room):
            continue
        late = len(scope) >= 2 and scope[-2][0] is ast.ClassDef and scope[-1][1] in LATE_METHODS
        # What such a method returns must be named, too; at run time that imports nothing.
        named = scope == ((ast.If, "TYPE_CHECKING"),)
        if not ((late or named) and (room, other) in LATE):
            wrong.append(f"{module}:{line} imports {target}")
    return wrong


@pytest.mark.parametrize("path", INNER, ids=module_name)
def test_imports_point_up_the_house(path):
    module = module_name(path)
    assert room_of(module) in ROOMS, "give the new room a place in ROOMS"
    assert broken_order(module, path.read_text(encoding="utf-8"), path.stem == "__init__") == []


def test_the_order_test_sees_what_it_must_see():
    late = "class R:\n    def plot(self):\n        from kmon_analysis.report import plots\n"
    assert broken_order("kmon_analysis.backtest.run", late) == []
    assert broken_order("kmon_analysis.series", late)
    assert broken_order("kmon_analysis.backtest.run", late.replace("plot(", "other("))
    typed = "if TYPE_CHECKING:\n    from kmon_analysis.explore.tuner import Tuner\n"
    assert broken_order("kmon_analysis.backtest.run", typed) == []
    assert broken_order("kmon_analysis.series", typed)
    assert broken_order("kmon_analysis.backtest.run", typed.replace("TYPE_CHECKING", "True"))
    assert broken_order("kmon_analysis.backtest.run", "from kmon_analysis.report import plots")
    assert broken_order("kmon_analysis.labels", "from kmon_analysis import series")
    assert broken_order("kmon_analysis.labels", "import kmon_analysis.series as s")
    assert broken_order("kmon_analysis.rules.model", "from ..incidents import Incident")
    assert broken_order("kmon_analysis.rules", "from ..incidents import Incident", True)
    assert broken_order("kmon_analysis.rules", "from .model import Rule", True) == []
    assert broken_order("kmon_analysis.rules.model", "from ..promql import syntax") == []


def loaded_after(code):
    """Run code in a fresh interpreter and return which heavy modules it loaded."""
    report = f"import sys; print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, cwd=REPOSITORY)
    assert run.returncode == 0, run.stderr
    return ast.literal_eval(run.stderr.strip().splitlines()[-1]), run.stdout


def test_the_import_is_light():
    assert loaded_after("import kmon_analysis") == ([], "")


def test_reading_a_history_does_not_load_pandas():
    heavy, _ = loaded_after("import kmon_analysis as km; km.open_history('data/recorded-kafka')")
    assert "pandas" not in heavy


@pytest.mark.parametrize("module", ["kmon_analysis.cli"])
def test_help_is_light(module):
    if importlib.util.find_spec(module) is None:
        return
    code = f"""
import sys
from {module} import main
sys.argv = ["kmon", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    heavy, shown = loaded_after(code)
    assert heavy == []
    assert "kmon" in shown


def test_every_front_door_name_opens():
    assert len(kmon_analysis.__all__) <= 20
    for name in kmon_analysis.__all__:
        assert getattr(kmon_analysis, name).__module__.startswith("kmon_analysis.")
    assert set(kmon_analysis.__all__) <= set(dir(kmon_analysis))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = kmon_analysis.nonsense


def test_the_front_door_is_typed_as_it_is_loaded():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {alias.name: node.module for node in block.body for alias in node.names}
    assert typed == kmon_analysis._HOMES


def test_a_folder_never_hides_a_front_door_function():
    door = type(sys.modules["kmon_analysis"])("door")
    door.Interval = ModuleType("kmon_analysis.Interval")
    assert "Interval" not in vars(door)
    door.sources = ModuleType("kmon_analysis.sources")
    assert "sources" in vars(door)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_modules_say_what_they_offer(path):
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert ast.get_docstring(tree), "a module begins by saying what it is for"
    assert source.count("\n") <= LONGEST_FILE, "split it"
    if path.stem in ("__init__", "__main__"):
        return
    lists = [n for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "__all__"]
    assert len(lists) == 1, "__all__ names what other modules may use"
    names = ast.literal_eval(lists[0].value)
    defined = {
        name
        for node in ast.walk(tree)
        for name in (
            [node.name]
            if isinstance(node, ast.ClassDef | ast.FunctionDef)
            else [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            if isinstance(node, ast.Assign)
            else [node.target.id]
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            else [alias.asname or alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom | ast.Import)
            else []
        )
    }
    assert set(names) <= defined


# Clocks and unseeded randomness enter through sources and the command line only.
IMPURE = re.compile(
    r"\b(?:time\.(?:time|monotonic|time_ns)\(|datetime\.now\(|utcnow\(|default_rng\(\)|"
    r"np\.random\.(?!default_rng|Generator|SeedSequence|BitGenerator|PCG64|Philox))"
)
IMPURE_ROOMS = {"sources", "workflow", "cli", "health"}


@pytest.mark.parametrize("path", INNER, ids=module_name)
def test_no_clock_and_no_dice_below_the_sources(path):
    if room_of(module_name(path)) not in IMPURE_ROOMS:
        assert IMPURE.findall(path.read_text(encoding="utf-8")) == []


def tracked_files():
    git = str(require("git"))
    if not (REPOSITORY / ".git").exists():
        pytest.skip("this tree is not a git repository")
    shown = subprocess.run([git, "ls-files", "-z"], capture_output=True, cwd=REPOSITORY, check=True)
    return [REPOSITORY / name for name in shown.stdout.decode().split("\0") if name and (REPOSITORY / name).is_file()]


# The throw-away folder of a recorded stack stays in its history: its rules' path decides when they were evaluated.
MACHINE_PATH = re.compile(rb"(?<![\w.])/(?:(?:work|farm|root)/|(?:home|Users)/\w|tmp/(?!kafka|kmon-stack-)\w)")
# Written in halves, so that this file does not hold what it forbids.
REGISTRIES = [
    f"{name}.{end}".encode()
    for name, end in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry.npmjs", "org"),
        ("repo1.maven", "org"),
        ("repo.maven.apache", "org"),
        ("proxy.golang", "org"),
        ("deb.debian", "org"),
        ("crates", "io"),
    ]
]


def test_tracked_files_name_no_machine_and_no_registry():
    leaks = []
    for path in tracked_files():
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if MACHINE_PATH.search(line) or any(name in line for name in REGISTRIES):
                leaks.append(f"{path.relative_to(REPOSITORY)}:{number}")
    assert leaks == []


def test_the_leak_patterns_see_what_they_must_see():
    root = "/" + "root"
    for line in [f"cd {root}/x", f'"{root}/.cache"', "file:///" + "work/main", "/" + "home/me/x"]:
        assert MACHINE_PATH.search(line.encode()), line
    for line in ["https://example.org/work/x", "sources/work", "a/root/b", "{topic}/workers"]:
        assert not MACHINE_PATH.search(line.encode()), line


def test_pins_are_exact_and_without_addresses():
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    assert pins == sorted(set(pins), key=str.lower)


def test_notebooks_are_stored_without_outputs():
    stored = {
        f"{path.name}, cell {index}"
        for path in (REPOSITORY / "notebooks").rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
        for index, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"])
        if cell.get("outputs") or cell.get("execution_count")
    }
    assert stored == set()
