"""The walls: imports run one way, libraries have one importer, start-up loads nothing heavy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtool.cli.app import root_command
from llmtool.cli.framework.completion import walk

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "llmtool"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the top of the house to its ground: a room imports from itself and from rooms below.
ROOMS = [
    "cli",
    "doctor",
    "bench",
    "evals",
    "functions",
    "toolbox",
    "methods",
    "local_model",
    "tasks",
    "prompts",
    "sessions",
    "batch",
    "documents",
    "text",
    "engine",
    "machine",
    "structured",
    "models",
    "encoding",
    "suggest",
    "templating",
    "safe_yaml",
    "config",
    "toml",
    "files",
    "sizes",
    "errors",
    "_version",
]
ONE_IMPORTER = {
    "llama_cpp": "engine/llama/bindings.py",
    "huggingface_hub": "models/hub/client.py",
    "rich": "cli/",
    "typer": "cli/",
    "prompt_toolkit": "cli/",
    "jinja2": "templating/",
    "llguidance": "structured/guidance.py",
    "jsonschema_rs": "structured/schema.py",
    "matplotlib": "cli/",
    "yaml": "safe_yaml.py",
    "platformdirs": "config.py",
    "tomlkit": "config.py",
    "httpx2": "models/hub/client.py",
    "tomllib": "toml.py",
    "py3langid": "text/languages.py",
    "semantic_text_splitter": "text/chunks.py",
    "markdown_it": "documents/markdown",
    "srt": "documents/subtitles.py",
    "polib": "documents/catalogs.py",
    "pypdf": "documents/readable.py",
    "tree_sitter": "text/grammars.py",
    "sqlite3": "sessions/search.py",
}
# What reads data by running what the data says.
UNPICKLERS = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dbm", "dill", "cloudpickle"}
UNPICKLERS |= {"joblib", "diskcache", "copyreg", "torch"}
RUNNERS = {"eval", "exec", "compile", "__import__"}
UNSAFE_YAML = {"load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all"}
HEAVY = {"rich", "pydantic", "numpy", "jinja2", "llama_cpp", "huggingface_hub", "yaml", "asyncio"}


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield (module, whether it is imported for types only)."""
    tree = ast.parse(path.read_text())
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node in typing_only
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                yield f"{module}.{alias.name}", node in typing_only


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_run_one_way(path: Path) -> None:
    here = room(path)
    if here in ("__init__", "__main__"):
        return
    for module, _ in imports(path):
        parts = module.split(".")
        if parts[0] == "llmtool" and len(parts) > 1 and parts[1] in ROOMS:
            assert ROOMS.index(parts[1]) >= ROOMS.index(here), f"{here} imports {module}"


def test_tasks_import_nothing_of_the_engine_but_its_types() -> None:
    offenders = {
        f"{name(path)} imports {module}"
        for path in FILES
        if room(path) in ("tasks", "prompts", "evals", "sessions", "batch", "documents", "text")
        for module, _ in imports(path)
        if module.startswith("llmtool.engine") and not module.startswith("llmtool.engine.types.")
    }
    assert offenders == set()


@pytest.mark.parametrize(("library", "importer"), ONE_IMPORTER.items(), ids=list(ONE_IMPORTER))
def test_a_foreign_library_has_one_importer(library: str, importer: str) -> None:
    for path in FILES:
        uses = [m for m, typing_only in imports(path) if m.split(".")[0] == library]
        if re.search(rf'import_module\("{library}', path.read_text()):
            uses.append(library)
        assert not uses or name(path).startswith(importer), f"{name(path)} imports {uses}"


@pytest.mark.parametrize("path", [p for p in FILES if room(p) != "cli"], ids=name)
def test_the_library_does_not_print_exit_or_read_the_environment(path: Path) -> None:
    source = path.read_text()
    tree = ast.parse(source)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert "print" not in names
    # The default toolbox reads the user's environment, a check runs in a child process, and native
    # libraries are told there what they read when they are loaded.
    exempt = (
        "toolbox.py",
        "engine/llama/preflight.py",
        "models/hub/client.py",
        "engine/llama/bindings.py",
    )
    if name(path) not in exempt:
        assert "os.environ" not in source and "sys.exit" not in source


def dangers(source: str) -> list[str]:
    """Return what in a source runs data: an unpickler, a loader of objects, text as code."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names if each.name.split(".")[0] in UNPICKLERS]
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in UNPICKLERS:
                found.append(node.module or "")
            if node.module == "yaml":
                found += [each.name for each in node.names if is_unsafe_in_yaml(each.name)]
        elif isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "yaml":
                found += [f"yaml.{node.attr}"] * is_unsafe_in_yaml(node.attr)
            found += [node.attr] * (node.attr in ("read_pickle", "LlamaDiskCache"))
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            found += [name] * (name in RUNNERS)
            for word in node.keywords:
                is_off = isinstance(word.value, ast.Constant) and word.value.value is False
                found += ["allow_pickle"] * (word.arg == "allow_pickle" and not is_off)
            first = node.args[0] if node.args else None
            if "import_module" in ast.unparse(node.func) and isinstance(first, ast.Constant):
                found += [str(first.value)] * (str(first.value).split(".")[0] in UNPICKLERS)
    return found


def is_unsafe_in_yaml(attribute: str) -> bool:
    loader = attribute.endswith("Loader") and "Safe" not in attribute and attribute != "BaseLoader"
    return attribute in UNSAFE_YAML or loader


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "import importlib\nimportlib.import_module('shelve')",
        "__import__('dill')",
        "numpy.load(path, allow_pickle=True)",
        "numpy.load(path, allow_pickle=trusted)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "from yaml import UnsafeLoader",
        "from yaml import CFullLoader as Reader",
        "eval(text)",
        "exec(compile(text, name, 'exec'))",
        "llama_cpp.LlamaDiskCache()",
    ],
)
def test_what_runs_data_is_recognized(source: str) -> None:
    assert dangers(source)


@pytest.mark.parametrize(
    "source",
    [
        "import json, re\nre.compile('a')",
        "yaml.compose(text, Loader=yaml.SafeLoader)",
        "yaml.safe_load(text)",
        "numpy.load(path, allow_pickle=False)",
    ],
)
def test_what_only_reads_is_not(source: str) -> None:
    assert dangers(source) == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_data_is_run(path: Path) -> None:
    assert dangers(path.read_text()) == []


def modules_after(*args: str) -> set[str]:
    program = (
        "import sys, os\n"
        f"sys.argv = {['llmtool', *args]!r}\n"
        "def report(code): sys.__stderr__.write(' '.join(sys.modules)); sys.__stderr__.flush()\n"
        "os._exit = report\n"
        "from llmtool.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return {module.split(".")[0] for module in done.stderr.split()}


COMMANDS = [" ".join(command.words) for command in walk(root_command())]


@pytest.mark.parametrize(
    "args", [["--version"], *([*command.split(), "--help"] for command in COMMANDS)], ids=" ".join
)
def test_help_and_version_load_nothing_heavy(args: list[str]) -> None:
    loaded = modules_after(*args)
    assert "typer" in loaded
    assert loaded & HEAVY == set()


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import sys, llmtool; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = {module.split(".")[0] for module in done.stdout.split()}
    assert loaded & (HEAVY | {"typer", "msgspec"}) == set()
