"""The table in docs/authoring.md is true and complete for Python, and all that is public has types."""

import importlib
import inspect
import pkgutil
import re
import unittest
from pathlib import Path

import autoexec_sdk
from autoexec_sdk import capabilities, testing

PAGE = Path(__file__).parents[3] / "docs/authoring.md"
COLUMN = 3


def cells():
    """The column of this language in the table of the three."""
    section = PAGE.read_text().split("## The same in three languages", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| ")]
    return [row[COLUMN] for row in rows[1:]]


def named():
    """What the column names: `module.{one, two}` is two names."""
    for cell in cells():
        for path, several in re.findall(r"`(\w+(?:\.\w+)*)(?:\.\{([^}]*)\})?`", cell):
            for name in several.split(", ") if several else [None]:
                yield path if name is None else f"{path}.{name}"


def exists(path):
    """Whether there is such a thing: an attribute, or one that every object of a class gets."""
    owner = autoexec_sdk
    for part in path.split("."):
        if not hasattr(owner, part):
            fields = getattr(owner, "__dataclass_fields__", {})
            return part in fields or inspect.isclass(owner) and f"self.{part}" in inspect.getsource(owner)
        owner = getattr(owner, part)
    return True


def public(owner, module):
    """Public functions and methods that a module defines, with their paths below it."""
    for name, value in vars(owner).items():
        if name.startswith("_") or getattr(value, "__module__", module) != module:
            continue
        if inspect.isclass(value):
            yield from ((f"{name}.{own}", method) for own, method in public(value, module))
        elif inspect.isfunction(value):
            yield name, value


def modules():
    yield from (importlib.import_module(f"{capabilities.__name__}.{one.name}") for one in pkgutil.iter_modules(capabilities.__path__))
    yield from (importlib.import_module(f"autoexec_sdk.{name}") for name in ["dialogue", "failure", "options", "tool", "testing"])
    yield from (importlib.import_module(f"{testing.__name__}.{one.name}") for one in pkgutil.iter_modules(testing.__path__))


class SurfaceTest(unittest.TestCase):
    def test_what_the_table_names_is_there(self):
        paths = [path for path in named() if "." in path]
        self.assertGreater(len(paths), 100)
        self.assertEqual([path for path in paths if not exists(path)], [])

    def test_what_is_there_is_in_the_table(self):
        words = {part for path in named() for part in path.split(".")}
        missing = [name for name in autoexec_sdk.__all__ if name not in words]
        for module in modules():
            if module.__name__.startswith("autoexec_sdk.capabilities."):
                if module.__name__.endswith("http_over_wasi"):
                    continue
                missing += [f"{module.__name__}.{name}" for name, _ in public(module, module.__name__) if name.split(".")[-1] not in words]
        for owner in [testing.Host, testing.Expected, testing.Script, testing.Files, autoexec_sdk.Dialogue]:
            own = [name for name in vars(owner) if not name.startswith("_")]
            internal = {"call", "method", "http", "fits", "is_used", "left", "Refused", "record", "case"}
            missing += [f"{owner.__name__}.{name}" for name in own if name not in words and name not in internal]
        self.assertEqual(missing, [])

    def test_all_that_is_public_has_types(self):
        untyped = []
        for module in modules():
            for name, value in public(module, module.__name__):
                signature = inspect.signature(value)
                parameters = [one for own, one in signature.parameters.items() if own not in ("self", "cls")]
                if any(one.annotation is one.empty for one in parameters) or signature.return_annotation is signature.empty:
                    untyped.append(f"{module.__name__}.{name}")
        self.assertEqual(untyped, [])
        self.assertTrue((Path(autoexec_sdk.__file__).parent / "py.typed").is_file())


if __name__ == "__main__":
    unittest.main()
