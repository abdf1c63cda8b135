"""What a notebook's objects offer is called: every public method of theirs by a test, or by a notebook of the course.

Read, not run: `cluster = lab.cluster()` is a LiveCluster, by the registry of tiers; `cluster.apply()` is what its annotation says.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from faces import FACES, OPENERS, RETURNS, members, named_in

COURSE = Path(__file__).parents[2]


class Calls(ast.NodeVisitor):
    """What a file asks of which face. A name has every face that it is given anywhere in the file."""

    def __init__(self, tree: ast.AST) -> None:
        self.names: dict[str, set[str]] = {}
        self.calls: set[tuple[str, str]] = set()
        before = None
        while before != self.names:  # until nothing more is learned: `app` of `cluster`, `cluster` of `lab`
            before = {name: set(kinds) for name, kinds in self.names.items()}
            self.visit(tree)

    def kinds(self, node: ast.expr | None) -> set[str]:
        """The faces that an expression can be."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, set())
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                return {function.id} & FACES.keys() or self.names.get(function.id, set())
            if isinstance(function, ast.Attribute):
                if function.attr == "__new__":  # a test's, whose parts are stand-ins
                    return set().union(*map(named_in, node.args))
                if function.attr in FACES:
                    return {function.attr}
                own = self.kinds(function.value)
                if own:
                    return set().union(*(RETURNS[kind].get(function.attr, set()) for kind in own))
                opened = {OPENERS[function.attr]} if function.attr in OPENERS else set()
                return opened | RETURNS[""].get(function.attr, set())
        return set()

    def bind(self, target: ast.expr | None, kinds: set[str]) -> None:
        if isinstance(target, ast.Name) and kinds:
            self.names.setdefault(target.id, set()).update(kinds)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self.bind(target, self.kinds(node.value))
        self.generic_visit(node)

    def visit_withitem(self, node: ast.withitem) -> None:
        self.bind(node.optional_vars, self.kinds(node.context_expr))
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """A fixture's or a function's name has what it yields or gives, wherever it is asked for."""
        for argument in [*node.args.args, *node.args.kwonlyargs]:
            self.bind(ast.Name(argument.arg), named_in(argument.annotation))
        for part in ast.walk(node):
            if isinstance(part, ast.Return | ast.Yield):
                self.bind(ast.Name(node.name), self.kinds(part.value))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.calls |= {(kind, node.attr) for kind in self.kinds(node.value)}
        self.generic_visit(node)


def sources() -> Iterator[tuple[str, str]]:
    for path in sorted([*COURSE.glob("tests/**/*.py"), *COURSE.glob("solutions/*/lab.py")]):
        if path != Path(__file__):
            yield str(path.relative_to(COURSE)), path.read_text("utf-8")
    for path in sorted(COURSE.glob("labs/*/*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        yield str(path.relative_to(COURSE)), "\n".join(code)


@pytest.fixture(scope="module")
def called() -> dict[str, set[tuple[str, str]]]:
    """File → (face, member)."""
    return {name: Calls(ast.parse(text)).calls for name, text in sources()}


def test_every_method_of_a_notebooks_object_is_called_somewhere(called):
    everywhere = set().union(*called.values())
    # every notebook ends with `lab.stop()`, which closes what is open
    closed = {(name, "close") for name in OPENERS.values()}
    offered = {(name, member) for name, face in FACES.items() for member in members(face)}
    missing = sorted(f"{name}.{member}" for name, member in offered - everywhere - closed)
    assert missing == [], "no test and no notebook calls them"


def test_the_reading_sees_what_is_there(called):
    """It would prove nothing if it saw no call, or every one."""
    assert ("LiveCluster", "apply") in called["labs/06-pod-to-service/06-pod-to-service.ipynb"]
    assert ("LiveApplied", "endpoints") in called["labs/06-pod-to-service/06-pod-to-service.ipynb"]
    assert ("Timeline", "plot") in called["solutions/06-pod-to-service/lab.py"]
    assert ("LiveProject", "scale") in called["tests/tiers/compose/test_compose.py"]
    text = "lab.stop()\nedge = lab.edge()\nother.map()\nedge.ask('DE')\n"
    assert Calls(ast.parse(text)).calls == {("LiveEdge", "ask")}


@pytest.mark.parametrize("name", sorted(OPENERS))
def test_what_a_lab_opens_is_a_face_that_can_be_closed(name):
    face = FACES[OPENERS[name]]
    assert callable(getattr(face, "close" if name != "serve" else "stop"))
    assert "__repr__" in vars(face)  # what a cell shows that ends with it
