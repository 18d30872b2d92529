"""Mutants of a module: the small faults that `mutants.py` puts into it, one at a time.

Another operator, constant or default; two arguments swapped; a condition turned round; a bound of a slice, a minus, a
`not` or a statement left out; None returned. Never in a docstring, an annotation or the message of an error.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

PAIRS = [(ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.And, ast.Or), (ast.BitAnd, ast.BitOr), (ast.Lt, ast.LtE)]
PAIRS += [(ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)]
OTHER = {ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.Pow: ast.Mult} | dict(PAIRS) | {b: a for a, b in PAIRS}
NOT_SWAPPED = ("check", "dot", "isinstance", "max", "min", "one_per_image")


def called(node):
    """The name of the function that a node calls, or ''."""
    function = getattr(node, "func", None)
    return getattr(function, "id", getattr(function, "attr", ""))


def alternatives(node):
    """What may stand in the place of a node."""
    match node:
        case ast.BinOp(left, ast.MatMult(), right):
            yield ast.BinOp(right, ast.MatMult(), left)
        case ast.BinOp(left, op, right) if type(op) in OTHER:
            yield ast.BinOp(left, OTHER[type(op)](), right)
        case ast.AugAssign(target, op, value):
            yield from (ast.AugAssign(target, OTHER[type(op)](), value), ast.Pass())
        case ast.BoolOp(op, values):
            yield ast.BoolOp(OTHER[type(op)](), values)
        case ast.Compare(left, ops, right):
            for i, op in enumerate(ops):
                yield ast.Compare(left, [*ops[:i], OTHER[type(op)](), *ops[i + 1 :]], right)
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.If(test, body, orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(str(value)):
            yield ast.Constant("another " + value)
        case ast.Slice(lower, upper, step):
            yield from [ast.Slice(None, upper, step)] * (lower is not None)
            yield from [ast.Slice(lower, None, step)] * (upper is not None)
        case ast.Call(function, [*first, a, b], keywords) if not called(node).startswith(NOT_SWAPPED):
            if not isinstance(a, ast.Starred) and not isinstance(b, ast.Starred):
                yield ast.Call(function, [*first, b, a], keywords)
        case ast.Lambda(args, _):
            yield ast.Lambda(args, ast.Constant(None))
        case ast.Return(ast.expr() as value) if ast.unparse(value) != "None":
            yield ast.Return(ast.Constant(None))
        case ast.Expr() | ast.Raise() | ast.Assign([ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()


def children(node):
    """(field, position in it or None, child) of what may change within a node."""
    checks = called(node).startswith(("check", "_", "one_per_image"))
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list") or isinstance(node, ast.Raise | ast.JoinedStr):
            continue
        for i, child in enumerate(value if isinstance(value, list) else [value]):
            text = isinstance(child, ast.Constant) and isinstance(child.value, str)
            message = checks and (text or (called(node) == "check" and field == "args" and i > 0))
            docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not message and not docstring:
                yield field, i if isinstance(value, list) else None, child


def places(node, function=None):
    """(parent, field, position in it, node, function around it) of every node that may change, in order."""
    for field, i, child in children(node):
        inner = child if isinstance(child, ast.FunctionDef) else function
        yield node, field, i, child, inner
        yield from places(child, inner)


@dataclass(frozen=True)
class Mutant:
    """The `index`-th change in a file. `function` is the first line of the function in whose body it is, or None."""

    path: Path
    index: int
    line: int
    function: int | None
    change: str

    def code(self):
        """The changed module, compiled."""
        tree = ast.parse(self.path.read_text(encoding="utf-8"))
        pairs = ((place, new) for place in places(tree) for new in alternatives(place[3]))
        (parent, field, i, *_), new = next(pair for k, pair in enumerate(pairs) if k == self.index)
        if i is None:
            setattr(parent, field, new)
        else:
            getattr(parent, field)[i] = new
        return compile(ast.fix_missing_locations(tree), self.path, "exec")


def mutants(path):
    """All mutants of a file; a change that leaves the text as it was, as of two equal arguments swapped, is none."""
    pairs = ((p, new) for p in places(ast.parse(path.read_text(encoding="utf-8"))) for new in alternatives(p[3]))
    for index, ((*_, node, function), new) in enumerate(pairs):
        within = function and node.lineno >= function.body[0].lineno  # else a default, which no call is needed to see
        first = min(n.lineno for n in (function, *function.decorator_list)) if within else None
        before, after = (ast.unparse(n) for n in (node, ast.fix_missing_locations(new)))
        if before != after:
            change = " → ".join(" ".join(text.split())[:70] for text in (before, after))
            yield Mutant(path, index, node.lineno, first, change)
