"""No call in the product's code does what turns a file or a text from outside into code, or trusts a stranger."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "components").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")])

# The one reader of pickles, which admits five names (tests/datasets/test_faults.py, tests/fuzzing).
UNPICKLER = ROOT / "components" / "datasets" / "unpickling.py"

NEVER = {
    "eval", "exec", "compile", "os.system", "os.popen", "pickle.load", "pickle.loads", "marshal.loads", "shelve.open",
    "yaml.load", "yaml.load_all", "yaml.unsafe_load", "joblib.load", "dill.load", "tempfile.mktemp", "np.fromfile",
    "keras.config.enable_unsafe_deserialization", "ssl._create_unverified_context",
}  # fmt: skip


def calls(file: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func)


def given(call: ast.Call, argument: str) -> str:
    return next((ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == argument), "")


def test_there_is_code_to_look_at() -> None:
    assert len(FILES) > 80
    assert "keras.models.load_model" in {name_of(call) for file in FILES for call in calls(file)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_calls(file: Path) -> None:
    for call in calls(file):
        name, line = name_of(call), f"{file.relative_to(ROOT)}:{call.lineno}"
        assert name not in NEVER, line
        assert given(call, "shell") in ("", "False"), line
        # None and False trust anyone; what a setting holds is the setting's business.
        assert given(call, "verify") not in ("False", "None"), line
        if name.endswith("np.load") or name == "numpy.load":
            assert given(call, "allow_pickle") == "False", line
        if name.endswith("models.load_model"):
            assert given(call, "safe_mode") == "True", line
        if name.endswith((".extractall", ".extract")):
            assert given(call, "filter") == "'data'", line
        if name.endswith("Unpickler"):
            assert file == UNPICKLER, line
        if name.endswith("Environment") and "jinja2" in file.read_text():
            assert given(call, "autoescape"), line


def test_templates_switch_escaping_off_nowhere() -> None:
    templates = [*(ROOT / "components").rglob("*.jinja"), *(ROOT / "components").rglob("*.html")]
    assert templates
    for template in templates:
        text = template.read_text(encoding="utf-8")
        assert "autoescape false" not in text, template
        assert "javascript:" not in text, template
