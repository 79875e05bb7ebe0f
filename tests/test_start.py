"""What is not imported until it is needed, and that nobody can tell."""

import ast
import inspect
import pickle
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

import morsescape
import morsescape.experiments
from morsescape.app import COMMANDS, app
from morsescape.critical.find import METHODS, TARGETS
from morsescape.experiments.registry import PARTS, STUDIES
from morsescape.nets import ACTIVATIONS, NAMES, POOLS
from morsescape.paths import METHODS as PATHS

HEAVY = "torch numpy scipy matplotlib sklearn networkx safetensors jinja2 pooch"
LOADED = f"""
import sys
from morsescape.app import main
for arguments in {{commands}}:
    sys.argv = ["morsescape", *arguments]
    try:
        main()
    except SystemExit as left:
        print(left.code, *(name for name in {HEAVY.split()} if name in sys.modules))
"""


def printed(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_what_computes_nothing_imports_nothing_heavy():
    commands = [["--version"], ["indx"], ["index", "--sampels", "9"], ["reproduce", "--runs", "x"]]
    lines = printed(LOADED.format(commands=commands))
    assert lines == [f"morsescape {morsescape.__version__}", "0", "2", "2", "2"]
    helps = [["--help"], *([name, "--help"] for name in COMMANDS)]
    left = [line for line in printed(LOADED.format(commands=helps)) if line.startswith("0")]
    assert left == ["0"] * len(helps)


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, morsescape as m; print([n for n in {HEAVY.split()} if n in sys.modules])"
    later = "print('torch' in sys.modules, m.inertia.__name__, 'torch' in sys.modules)"
    assert printed(f"{code}; {later}") == ["[]", "False inertia True"]


def test_data_and_paths_bring_no_statistics_and_no_learning():
    code = "import sys, morsescape as m, morsescape.data; m.connect; m.morse_graph; m.zoo"
    late = ("scipy.stats", "sklearn", "matplotlib")
    assert printed(f"{code}; print([n for n in {late} if n in sys.modules])") == ["[]"]


@pytest.mark.parametrize("package", [morsescape, morsescape.experiments])
def test_a_lazy_package_has_what_type_checkers_see(package):
    tree = ast.parse(Path(package.__file__).read_text())
    seen = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("morsescape"):
            seen |= {alias.name: node.module for alias in node.names}
    del seen["lazily"]
    assert set(seen) == set(package.__all__) == set(dir(package))
    for name, module in seen.items():
        value = getattr(package, name)
        assert value is getattr(import_module(module), name)
        if inspect.isclass(value):
            assert pickle.loads(pickle.dumps(value)) is value


def test_a_lazy_package_knows_its_modules_and_no_other_name():
    from morsescape import spectrum

    assert spectrum is morsescape.spectrum
    with pytest.raises(AttributeError, match="'morsescape' has no attribute 'indx'"):
        _ = morsescape.indx
    with pytest.raises(ImportError, match="cannot import name 'indx'"):
        exec("from morsescape import indx")


def test_the_commands_are_those_of_the_studies():
    def has_command(name):
        return find_spec(f"morsescape.experiments.{name}.command") is not None

    named = [study.name for study in STUDIES if has_command(study.name)]
    assert [*named, "reproduce"] == list(COMMANDS)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("connect", " and ".join((", ".join([*PATHS][:-1]), [*PATHS][-1]))),
        ("connect", "|".join(NAMES)),
        ("index", "|".join(ACTIVATIONS)),
        ("index", "|".join(POOLS)),
        ("polish", "|".join(TARGETS)),
        ("polish", "|".join(METHODS)),
        ("reproduce", ", ".join(PARTS)),
        ("reproduce", ",".join(NAMES)),
    ],
)
def test_help_names_the_choices_that_there_are(command, words):
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, [command, "--help"]).stdout
    assert words in shown


DEPRECATED = """
import warnings, torch
script = torch.jit.script
def deprecated(*args, **named):
    warnings.warn("`torch.jit.script` is deprecated", FutureWarning, stacklevel=2)
    return script(*args, **named)
torch.jit.script = deprecated
import morsescape as ms
f = ms.Objective.from_function(lambda t: (t**4).sum() - t @ t, 3)
warnings.warn("of the caller", FutureWarning)
print(ms.inertia(f, [1.0] * 3).positive)
"""


def test_what_torch_deprecates_in_its_own_code_is_no_warning_of_ours():
    command = [sys.executable, "-c", DEPRECATED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "(3, 3)\n"
    (line,) = done.stderr.splitlines()
    assert "of the caller" in line
