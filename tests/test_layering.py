"""Architecture rules: import order, one importer per library, light start-up.

One test per rule; a failure lists the offenders.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from command import linux
from offenders import syntax_nodes

from llmtool.cli.app import root_command
from llmtool.cli.framework.completion import walk

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "llmtool"
FILES = sorted(PACKAGE.rglob("*.py"))

# From top to bottom: a module imports from its own layer and from layers below.
LAYERS = [
    "__main__",
    "cli",
    "server",
    "ray",
    "__init__",
    "doctor",
    "bench",
    "functions",
    "toolbox",
    "methods",
    "model_choice",
    "batch_submissions",
    "batch_jobs",
    "remote_model",
    "local_model",
    "tuning",
    "evals",
    "tasks",
    "prompts",
    "sessions",
    "batch",
    "documents",
    "text",
    "engine",
    "structured",
    "worker",
    "machine",
    "models",
    "web",
    "encoding",
    "templating",
    "safe_yaml",
    "config",
    "folders",
    "toml",
    "files",
    "temporary",
    "sizes",
    "short_repr",
    "background",
    "cancellation",
    "arguments",
    "forks",
    "file_kinds",
    "suggest",
    "field_types",
    "errors",
    "option_names",
    "_version",
]
# The layers inside `cli`.
CLI_LAYERS = [
    "app",
    "candidates",
    "commands",
    "pipeline",
    "serving",
    "detach",
    "batch",
    "reply_log",
    "bootstrap",
    "first_run",
]
CLI_LAYERS += ["render", "framework", "options", "terminal"]
ONE_IMPORTER: dict[str, str | tuple[str, ...]] = {
    "llama_cpp": "engine/llama/bindings.py",
    "huggingface_hub": "models/hub/",
    "httpx2": "web/",
    "starlette": "server/",
    "uvicorn": "server/",
    "anyio": "server/",
    "mcp": "server/mcp.py",
    "mcp_types": "server/mcp.py",
    "rich": "cli/",
    "typer": "cli/",
    "prompt_toolkit": "cli/",
    "matplotlib": "cli/",
    "jinja2": "templating/",
    "llguidance": "structured/guidance.py",
    "jsonschema_rs": "structured/",
    "yaml": "safe_yaml.py",
    "platformdirs": "folders.py",
    "tomlkit": "config.py",
    "tomllib": "toml.py",
    "py3langid": "text/languages.py",
    "semantic_text_splitter": "text/chunks.py",
    "tree_sitter": "text/grammars.py",
    "markdown_it": "documents/markdown/",
    "srt": "documents/subtitles/srt_and_vtt.py",
    "polib": "documents/localization/catalogs.py",
    "ray": "ray/",
    "pyarrow": "ray/",
    "pypdf": "documents/readers/pdf.py",
    "selectolax": "documents/readers/web_text.py",
    "chardet": "encoding.py",
    "javaproperties": "documents/localization/properties.py",
    "pysubs2": "documents/subtitles/ass.py",
    "docutils": "documents/rst/structure.py",
    "openstep_plist": "documents/localization/apple_strings.py",
    "sqlite3": ("sessions/search.py", "tasks/pipeline/disk_cache.py"),  # two kinds of files
}
# Names that execute code from data.
UNPICKLERS = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dbm", "dill", "cloudpickle"}
UNPICKLERS |= {"joblib", "diskcache", "copyreg", "torch"}
RUNNERS = {"eval", "exec", "compile", "__import__"}
UNSAFE_YAML = {"load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all"}
HEAVY = {"rich", "pydantic", "numpy", "jinja2", "llama_cpp", "huggingface_hub", "yaml", "asyncio"}


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def dotted(path: Path) -> str:
    """Return a file's module name: `llmtool.cli.app`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): path for path in FILES}


@cache
def imports(path: Path) -> frozenset[str]:
    """Return the modules that a file imports anywhere, including those for type checking only."""
    found: set[str] = set()
    for node in syntax_nodes(path):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                found.add(member if member in MODULES else node.module or "")
    return frozenset(found)


def own_imports(path: Path) -> list[str]:
    return [module for module in imports(path) if module in MODULES and module != dotted(path)]


def layer(module: str) -> str:
    """Return the layer of a module: the first name below the package, or `__init__`."""
    return [*module.split("."), "__init__"][1]


def test_modules_import_only_from_their_layer_and_below() -> None:
    offenders = [
        f"{name(path)} imports {module}"
        for path in FILES
        for module in own_imports(path)
        if LAYERS.index(layer(module)) < LAYERS.index(layer(dotted(path)))
    ]
    assert not offenders, "\n".join(offenders)


def test_every_module_has_a_layer() -> None:
    assert {layer(module) for module in MODULES} == set(LAYERS)


def test_cli_modules_import_only_from_their_layer_and_below() -> None:
    ranks = {module: CLI_LAYERS.index(module.split(".")[2]) for module in MODULES if in_cli(module)}
    offenders = [
        f"{name(path)} imports {module}"
        for path in FILES
        for module in own_imports(path)
        if in_cli(module) and in_cli(dotted(path)) and ranks[module] < ranks[dotted(path)]
    ]
    assert not offenders, "\n".join(offenders)


def in_cli(module: str) -> bool:
    return module.startswith("llmtool.cli.")


def test_commands_do_not_import_each_other() -> None:
    offenders = [
        f"{name(path)} imports {module}"
        for path in FILES
        for module in own_imports(path)
        if command_of(dotted(path)) and command_of(module)
        if command_of(module) != command_of(dotted(path))
    ]
    assert not offenders, "\n".join(offenders)


def command_of(module: str) -> str:
    parts = module.split(".")
    return parts[3] if module.startswith("llmtool.cli.commands.") else ""


def test_import_cycles_do_not_exist() -> None:
    graph = {module: own_imports(path) for module, path in MODULES.items()}
    done: set[str] = set()
    cycles: list[str] = []

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            cycles.append(" -> ".join([*trail[trail.index(module) :], module]))
        elif module not in done:
            for each in sorted(graph[module]):
                visit(each, [*trail, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    assert not cycles, "\n".join(cycles)


def test_each_library_has_one_importer() -> None:
    offenders = []
    for path in FILES:
        source = path.read_text(encoding="utf-8")
        for library, importer in ONE_IMPORTER.items():
            uses = any(module.split(".")[0] == library for module in imports(path))
            uses = uses or re.search(rf'import_module\("{library}', source) is not None
            if uses and not name(path).startswith(importer):
                offenders.append(f"{name(path)} imports {library}")
    assert not offenders, "\n".join(offenders)


def test_tasks_import_only_the_types_of_the_engine() -> None:
    offenders = [
        f"{name(path)} imports {module}"
        for path in FILES
        if layer(dotted(path))
        in ("tasks", "prompts", "evals", "tuning", "sessions", "batch", "documents", "text")
        for module in own_imports(path)
        if layer(module) == "engine" and module != "llmtool.engine.types"
    ]
    assert not offenders, "\n".join(offenders)


def test_only_the_terminal_layer_uses_standard_streams() -> None:
    # The preflight check runs in a child process.
    exempt = ("cli/terminal/", "engine/llama/preflight.py")
    offenders = [
        f"{name(path)}:{node.lineno}"
        for path in FILES
        if not name(path).startswith(exempt)
        for node in syntax_nodes(path)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and f"{node.value.id}.{node.attr}" in ("sys.stdin", "sys.stdout", "sys.stderr", "os.isatty")
    ]
    assert not offenders, "\n".join(offenders)


def test_functions_do_not_rebind_globals() -> None:
    offenders = [
        f"{name(path)}:{node.lineno}"
        for path in FILES
        for node in syntax_nodes(path)
        if isinstance(node, ast.Global)
    ]
    assert not offenders, "\n".join(offenders)


def test_library_does_not_print_exit_or_read_the_environment() -> None:
    # The default toolbox and Ray's workers read the environment, the preflight check is a child
    # process, and native libraries read variables when they are loaded.
    exempt = ("toolbox.py", "engine/llama/preflight.py", "models/hub/", "web/")
    exempt += ("engine/llama/bindings.py", "__main__.py", "ray/")
    offenders = []
    for path in FILES:
        source = path.read_text(encoding="utf-8")
        names = {node.id for node in syntax_nodes(path) if isinstance(node, ast.Name)}
        if not name(path).startswith("cli/") and "print" in names:
            offenders.append(f"{name(path)} prints")
        if not name(path).startswith(("cli/", *exempt)):
            offenders += [
                f"{name(path)} uses {each}" for each in ("os.environ", "sys.exit") if each in source
            ]
    assert not offenders, "\n".join(offenders)


def unsafe_names(nodes: Iterable[ast.AST]) -> list[str]:
    """Return the names in a source that execute code from data, such as `pickle` and `eval`."""
    found = []
    for node in nodes:
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
            called = node.func.attr if isinstance(node.func, ast.Attribute) else name
            if called == "import_module" and isinstance(first, ast.Constant):
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
def test_unsafe_code_is_detected(source: str) -> None:
    assert unsafe_names(ast.walk(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "import json, re\nre.compile('a')",
        "yaml.compose(text, Loader=yaml.SafeLoader)",
        "yaml.safe_load(text)",
        "numpy.load(path, allow_pickle=False)",
    ],
)
def test_safe_code_is_not_reported(source: str) -> None:
    assert unsafe_names(ast.walk(ast.parse(source))) == []


def test_package_does_not_execute_data() -> None:
    found = {name(path): unsafe_names(syntax_nodes(path)) for path in FILES}
    assert {path: uses for path, uses in found.items() if uses} == {}


def modules_after(*args: str, environ: dict[str, str] | None = None) -> set[str]:
    program = (
        "import sys, os\n"
        f"sys.argv = {['llmtool', *args]!r}\n"
        "def report(code): sys.__stderr__.write(' '.join(sys.modules)); sys.__stderr__.flush()\n"
        "os._exit = report\n"
        "from llmtool.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environ
    )
    return set(done.stderr.split())


def libraries(modules: set[str]) -> set[str]:
    return {module.split(".")[0] for module in modules}


COMMANDS = [" ".join(command.words) for command in walk(root_command())]
# Imports what every command does once, then reports the modules of each command of its input.
FORKED = """
import os, sys
from llmtool.cli.app import main
leave, report = os._exit, os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
def end(code):
    print(" ".join(sys.modules), file=report, flush=True)
    leave(0)
for line in sys.stdin:
    child = os.fork()
    if not child:
        sys.argv, os._exit = ["llmtool", *line.split()], end
        main()
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def loading() -> Iterator[subprocess.Popen[str]]:
    """A process that answers each command line with the names of the modules that it loads."""
    command = [sys.executable, "-c", FORKED]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        yield process


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a process for each command")
@pytest.mark.parametrize(
    "args", ["--version", *(f"{command} --help".strip() for command in COMMANDS)]
)
def test_help_and_version_load_no_heavy_modules(args: str, loading: subprocess.Popen[str]) -> None:
    assert loading.stdin and loading.stdout
    loading.stdin.write(args + "\n")
    loaded = set(loading.stdout.readline().split())
    assert "typer" in loaded
    assert libraries(loaded) & HEAVY == set()
    assert len(loaded) <= 210
    if args in ("--help", "--version"):
        assert not [name for name in loaded if name.startswith("llmtool.cli.commands")]


def test_importing_the_package_loads_no_heavy_modules() -> None:
    program = "import sys, llmtool; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = {module.split(".")[0] for module in done.stdout.split()}
    assert loaded & (HEAVY | {"typer", "msgspec"}) == set()


# The layers that `gen` needs, and modules of the standard library that it must not import.
NEEDED_LAYERS = {"__main__", "_version", "background", "cli", "config", "encoding", "engine"}
NEEDED_LAYERS |= {
    "local_model",
    "machine",
    "model_choice",
    "models",
    "prompts",
    "safe_yaml",
    "sizes",
    "structured",
}
NEEDED_LAYERS |= {
    "cancellation",
    "arguments",
    "errors",
    "option_names",
    "file_kinds",
    "files",
    "temporary",
    "folders",
    "forks",
    "short_repr",
    "suggest",
    "tasks",
    "templating",
    "text",
}
UNNEEDED_MODULES = {
    "asyncio",
    "csv",
    "dataclasses",
    "http",
    "logging",
    "secrets",
    "sqlite3",
    "tomllib",
}


def test_generate_does_not_import_other_tasks(tiny: Path, tmp_path: Path) -> None:
    model = ["-m", str(tiny), "--max-tokens", "1", "--seed", "1", "--no-stdin", "-q", "--no-log"]
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    loaded = modules_after("gen", "hello", "-o", str(tmp_path / "reply"), *model, environ=environ)
    own = {module for module in loaded if module.startswith("llmtool.")}
    assert "llmtool.engine.llama.scheduler" in own
    assert {layer(module) for module in own} - NEEDED_LAYERS == set()
    packages = {module.split(".")[2] for module in own if module.startswith("llmtool.tasks.")}
    assert packages <= {"generate", "pipeline", "options", "results", "streams"}
    assert "llmtool.tasks.pipeline.records" not in own
    assert {command_of(module) for module in own} - {""} == {"gen"}
    assert libraries(loaded) & (UNNEEDED_MODULES | {"rich", "numpy", "huggingface_hub"}) == set()
    assert len(own) <= 132
    assert len(loaded) <= 372  # 236 are of Python, Typer, msgspec, PyYAML, Jinja and ctypes


def test_model_load_starts_before_templates_are_imported(tiny: Path) -> None:
    program = (
        "import sys\n"
        "from llmtool.local_model import LocalModel\n"
        "start = LocalModel.warm_up\n"
        "def warm_up(model):\n"
        "    sys.__stderr__.write(' '.join(sys.modules) + chr(10))\n"
        "    start(model)\n"
        "LocalModel.warm_up = warm_up\n"
        f"sys.argv = ['llmtool', 'gen', 'hello', '-m', {str(tiny)!r}, '--max-tokens', '1', '-q']\n"
        "from llmtool.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    loaded = set(done.stderr.splitlines()[0].split())
    assert libraries(loaded) & {"jinja2", "yaml"} == set()
    assert not {"llmtool.engine.llama.engine", "llmtool.prompts.library"} & loaded


@linux
@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["-n", "0", "hello"],
        ["-x", "--json", "hello"],
        ["--field", "text", "hello"],
        ["--schema", "{", "hello"],
        ["-f", "missing.txt", "hello"],
        [],
    ],
    ids=" ".join,
)
def test_usage_error_does_not_load_a_model(args: list[str], tiny: Path) -> None:
    program = (
        "import os, sys\n"
        f"sys.argv = {['llmtool', 'gen', '-m', str(tiny), *args]!r}\n"
        "end = os._exit\n"
        "def report(code):\n"
        "    maps = open('/proc/self/maps').read()\n"
        "    sys.__stderr__.write('loaded' if 'libllama' in maps else 'not loaded')\n"
        "    sys.__stderr__.flush()\n"
        "    end(code)\n"
        "os._exit = report\n"
        "from llmtool.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.stderr.endswith("not loaded")
    assert bool(done.returncode) == (args != ["--help"])
