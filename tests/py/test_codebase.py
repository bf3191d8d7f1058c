"""The code as data: which way imports point, what is public, and what the package does not do."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import llmcore
from llmcore import openai

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "llmcore"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# From the ground up: a module may import from its own layer and from those below.
LAYERS = (
    {"_core"},
    {
        "types",
        "provider_values",
        "errors",
        "secret",
        "clock",
        "fingerprint",
        "hosts",
        "interrupt",
        "request_difference",
    },
    {"config", "config_sources", "config_values", "call_context", "estimate", "exchange", "transport", "explain"},
    {"pricing", "providers", "ledger", "recording"},
    {"recording_json", "replay_transport"},
    {"arguments", "call", "conversation", "json_schema", "kinds", "relay"},
    {"flow", "flow_stream", "parking"},
    {"runtime"},
    {"prepare"},
    {"embeddings", "images"},
    {"client", "aclient", "stream", "structured", "structured_instructor", "search", "tools"},
    {"service", "openai", "openai_errors", "openai_create", "openai_plain", "openai_streams"},
    {"cli", "integrations"},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# Third-party packages and the only places that may import them.
CONFINED = {
    "sqlalchemy": ("ledger/", "cli/"),
    "alembic": ("ledger/",),
    "pyreqwest": ("transport/native.py",),
    "openai": ("transport/sdk.py", "structured_instructor.py", "openai"),
    "fastapi": ("integrations/", "dashboard/"),
    "instructor": ("structured_instructor.py",),
    "httpx2": ("transport/sdk.py",),
    "httpx": (),
    "requests": (),
    "genai_prices": ("pricing.py",),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "pydantic_settings": ("config.py",),
}


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, TYPE_CHECKING blocks left out, with the line."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, node.lineno


def part_of(path: Path) -> str:
    """The layer's name of a file: its module, or the package it lies in."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def test_imports_point_downwards() -> None:
    wrong = []
    for path in SOURCES:
        part = part_of(path)
        if part == "__init__":
            continue
        for module, line in imports_of(path):
            if not module.startswith("llmcore."):
                continue
            target = module.split(".")[1]
            assert target in LEVEL, f"{path.name}:{line}: give {target} a place in LAYERS"
            if LEVEL[target] > LEVEL[part]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not wrong


def test_every_module_has_a_layer() -> None:
    assert {part_of(path) for path in SOURCES} - {"__init__"} <= set(LEVEL)


def test_every_module_is_in_the_architecture() -> None:
    page = ROOT / "docs" / "architecture.md"
    if not page.exists():
        pytest.skip("the page is not part of a source distribution")
    missing = {part_of(path) for path in SOURCES} - {"__init__"} - set(re.findall(r"\w+", page.read_text()))
    assert not missing


@pytest.mark.parametrize("library", sorted(CONFINED))
def test_third_party_libraries_stay_where_they_belong(library: str) -> None:
    allowed = CONFINED[library]
    wrong = []
    for path in SOURCES:
        relative = str(path.relative_to(PACKAGE))
        for module, line in imports_of(path):
            if (module == library or module.startswith(library + ".")) and not relative.startswith(allowed or ("-",)):
                wrong.append(f"{relative}:{line}")
    assert not wrong


# What writes down calls that others make has to say whose they are and what they cost.
BESIDE = {"logger.py": ("call_context", "pricing"), "costs.py": ("call_context", "pricing")}


def test_the_ledger_knows_no_client() -> None:
    for path in sorted((PACKAGE / "ledger").rglob("*.py")):
        for module, line in imports_of(path):
            if module.startswith("llmcore."):
                known = module.split(".")[1] in {"types", "errors", "ledger", "_core", *BESIDE.get(path.name, ())}
                assert known, f"{path.name}:{line} imports {module}"


def test_nothing_asks_the_system_for_time_or_luck_in_a_decision() -> None:
    drivers = {"sdk.py", "clock.py", "interrupt.py"}
    pattern = re.compile(r"\btime\.(time|monotonic|perf_counter)\w*\(|\brandom\.|\bdatetime\.now\(")
    for path in SOURCES:
        if path.name in drivers or part_of(path) in {"cli", "ledger"}:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not pattern.search(line), f"{path.name}:{number}: {line.strip()}"


def test_public_names_are_sorted_complete_and_found() -> None:
    names = (*llmcore.__all__, *llmcore._OF_EXTRAS)
    assert sorted(names) == sorted(llmcore._HOME)
    assert len(set(names)) == len(names)
    assert dir(llmcore) == sorted(names)
    for name in names:
        assert getattr(llmcore, name) is not None
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == set(names), "the names for type checkers are those found at run time"


def test_all_names_can_be_had_without_extras() -> None:
    """`from llmcore import *` in an environment that has only what llmcore requires."""
    missing = ["numpy", "psycopg", "fastapi", "instructor", "xllamacpp"]
    source = f"import sys; sys.modules.update(dict.fromkeys({missing}))\nfrom llmcore import *\nLLMClient, UsageTracker"
    subprocess.run([sys.executable, "-c", source], check=True)


def test_no_public_name_is_hidden_by_a_module_of_that_name() -> None:
    """Importing llmcore.context would put the module in the place of the function."""
    folder = Path(llmcore.__path__[0])
    names = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert names & set(llmcore.__all__) == set()


def test_an_unknown_name_says_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'LLMKlient'"):
        _ = llmcore.LLMKlient


def arguments_of(function: Callable[..., object]) -> list[tuple[str, object, object, object]]:
    parameters = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default, str(each.annotation)) for each in parameters]


def methods_of(client: type) -> set[str]:
    return {name for name, value in vars(client).items() if inspect.isfunction(value) and not name.startswith("_")}


def test_the_clients_take_the_same_arguments() -> None:
    """Their signatures are written out for editors and type checkers; this is what keeps the copies alike."""
    for one, other in ((llmcore.LLMClient, llmcore.AsyncLLMClient), (openai.OpenAI, openai.AsyncOpenAI)):
        for name in methods_of(one) & methods_of(other) | {"__init__"}:
            assert arguments_of(getattr(one, name)) == arguments_of(getattr(other, name)), f"{one.__name__}.{name}"
    assert methods_of(llmcore.LLMClient) <= methods_of(llmcore.AsyncLLMClient)
    assert arguments_of(llmcore.LLMClient.complete) == arguments_of(llmcore.LLMClient.stream)


IMPORT_PROBE = """
import socket, sys
opened = []
real = socket.socket
class Watched(real):
    def __init__(self, *args, **kwargs):
        opened.append(args)
        super().__init__(*args, **kwargs)
socket.socket = Watched
import llmcore
from llmcore import Usage, Priority, LLMError, LLMResponse
heavy = {"alembic", "asyncio", "genai_prices", "openai", "pydantic", "pyreqwest", "rich", "sqlalchemy", "typer"}
print(sorted(heavy & set(sys.modules)), len(opened))
"""


def test_importing_loads_nothing_heavy_and_opens_no_socket() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_PROBE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] 0"


# The files of the C++ library that may ask one system or another, each for one thing; the rest needs C++20 alone.
PLATFORM_FILES = {
    "crc32c.cpp",  # what the processor can do
    "io/clock.cpp",
    "io/file_posix.cpp",
    "io/file_win32.cpp",
    "io/fork.cpp",
    "io/uuid7.cpp",
    "net/background.cpp",
    "net/environment.cpp",
}
_HEADERS = "time|unistd|fcntl|dirent|poll|pthread|sched|signal|dlfcn|strings|windows|crt_externs"
OF_A_SYSTEM = re.compile(rf"#include <((sys|netinet|arpa|net)/[\w.]+|({_HEADERS})\.h)>")


def test_one_system_or_another_is_asked_in_platform_files_alone() -> None:
    asking = set()
    for folder in (ROOT / "cpp" / "src", ROOT / "cpp" / "include" / "llmcore"):
        for path in folder.rglob("*.[hc]*"):
            if OF_A_SYSTEM.search(path.read_text()):
                asking.add(path.relative_to(folder).as_posix())
    assert asking == PLATFORM_FILES


def test_sources_are_plain_ascii() -> None:
    for folder in ("cpp", "python", "cmake", "tools"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".pyi", ".cpp", ".hpp", ".cmake", ".sh"}:
                text = path.read_bytes()
                assert text.isascii(), f"{path.relative_to(ROOT)} holds other characters than ASCII"


def test_no_source_is_dead() -> None:
    """Every module is imported by another, is public, or is where the command or a plugin starts."""
    imported = {module for path in SOURCES for module in _all_imports(path)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    imported |= {module for group in project["entry-points"].values() for module in group.values()}
    homes = {f"llmcore.{home}" for home in llmcore._HOME.values()} | {"llmcore.openai"}  # which programs import
    for path in SOURCES:
        relative = path.relative_to(PACKAGE)
        if relative.name in {"__init__.py", "__main__.py"} or "migrations" in relative.parts:
            continue
        name = ".".join(("llmcore", *relative.with_suffix("").parts))
        assert name in imported | homes, f"nothing uses {relative}"


def _all_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("llmcore."):
            yield node.value.partition(":")[0]
