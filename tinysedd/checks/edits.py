"""Wrong versions of a reference that need no line in an exercise: its source with one small edit of a usual kind.

Most mistakes are one slip: a factor is missing, an operator or a function is another one, an index is off by one, an
argument is taken for another. The message quotes the part where the slip is, unless that gives the answer away.
"""

import ast
import collections
import contextlib
import functools
import inspect
import itertools
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator
from typing import Any

OPERATORS: dict[type, list[type]] = {
    ast.Add: [ast.Sub, ast.Mult],
    ast.Sub: [ast.Add, ast.Div],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult, ast.Sub],
    ast.Pow: [ast.Mult],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Lt: [ast.Gt, ast.LtE],
    ast.LtE: [ast.Gt, ast.Lt],
    ast.Gt: [ast.Lt, ast.GtE],
    ast.GtE: [ast.Lt, ast.Gt],
}
FUNCTIONS = [  # a slip takes one for another of the same line
    ["exp", "expm1", "log", "log1p", "log2", "square", "sqrt"],
    ["sum", "mean", "prod", "max", "min", "std", "median", "norm", "numel"],
    ["softmax", "log_softmax", "exp"],
    ["argmax", "argmin"],
    ["any", "all"],
    ["cumprod", "cumsum"],
    ["zeros_like", "ones_like"],
    ["index", "find"],
    ["ljust", "rjust"],
]
SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@"}
MODULES = {"torch", "math", "nn"}
RESULTS = "Your results are what you get"
LONGEST = 50  # characters of a quoted part in which names are replaced by what they stand for
NOTHING = "__nothing__"  # stands for an operand that is left out of a quoted part


def source_of(function: Callable) -> str:
    """The source of a function; "" for a lambda."""
    source = textwrap.dedent(inspect.getsource(function))
    return source if source.startswith("def ") else ""


def compiled(source: str, reference: Callable) -> Callable:
    """A function from its source, in the module of the reference."""
    found: dict[str, Any] = {}
    with warnings.catch_warnings(action="ignore"):  # an edit may be silly code
        exec(source, reference.__globals__, found)
    return found[reference.__name__]


def variants(reference: Callable) -> Iterator[tuple[Callable, Callable[[], str]]]:
    """Versions of the reference with one edit each, and what says how; it tells a student whose results agree."""
    tree = next(iter(ast.parse(source_of(reference)).body), None)
    if not isinstance(tree, ast.FunctionDef):
        return
    seen, quote, places = {ast.unparse(tree)}, _Quote(tree), _places(tree)
    longest = 0.6 * len(ast.unparse(tree.body[0])) if len(tree.body) == 1 else math.inf
    parents = {id(part): parent for parent, _, _, part in places}
    equal = collections.defaultdict(list)  # parts that read alike are edited together, and one by one
    for _, holder, key, part in places:
        equal[ast.dump(part)].append((holder, key, part))
    for slips, (_, holder, key, part) in itertools.product((_structure, _names, _values), places):
        same, around = equal[ast.dump(part)], part
        while isinstance(around, ast.expr) and len(equal.get(ast.dump(around), [])) > 1:
            around = parents.get(id(around))  # the smallest expression that occurs once
        whole = isinstance(parents[id(part)], ast.Return)
        if whole and slips is _values:
            continue  # relations.py says more about "the right one transposed"
        for (new, text, *quoted), alone in itertools.product(slips(part, quote.names), (False, True)):
            context = around if alone and len(same) > 1 and id(around) in parents else None
            before = ast.unparse(context or part)
            for h, k, _ in [(holder, key, part)] if alone else same:
                h[k] = new
            source, after = ast.unparse(tree), ast.unparse(context or new)
            for h, k, old in same:
                h[k] = old
            if source not in seen:
                seen.add(source)
                if not text and (whole or isinstance(part, ast.Return)):  # do not quote all of the right line
                    text, quoted = f"{RESULTS} with {{}}.", [after if "return" in after else f"return {after}"]
                elif context or not text:
                    text, quoted = f"{RESULTS} with {{}} in place of {{}}.", [after, before]
                quoted = [q if isinstance(q, str) else ast.unparse(q) for q in quoted]
                if max((len(_readable(q)) for q in quoted), default=0) > longest:  # it would give the answer away
                    text, quoted = text.partition(" in {}")[0] + ".", []
                with contextlib.suppress(SyntaxError):  # not every edit makes sense
                    if "{}" not in text or quoted:
                        yield compiled(source, reference), functools.partial(quote, text, *quoted)


def _places(tree: ast.FunctionDef) -> list[tuple[Any, Any, Any, Any]]:
    """Every statement and every expression that is read: parent, the dict or list that holds it, key, itself."""
    found: list[tuple[Any, Any, Any, Any]] = [(tree, tree.body, k, part) for k, part in enumerate(tree.body)]
    for node in itertools.chain(*map(ast.walk, tree.body)):
        for name, value in ast.iter_fields(node):
            several = isinstance(value, list)
            for key, part in enumerate(value) if several else [(name, value)]:
                written = isinstance(getattr(part, "ctx", None), ast.Store)
                if isinstance(part, ast.expr | ast.stmt) and not isinstance(part, ast.Slice) and not written:
                    found.append((node, value if several else vars(node), key, part))
    return found


class _Quote:
    """Quotes parts of a function. Names that are assigned once are replaced by what they stand for, if that is short.

    Attributes:
        names: names of the arguments, and all that are assigned.
    """

    def __init__(self, tree: ast.FunctionDef):
        nodes, arguments = list(ast.walk(tree)), [argument.arg for argument in tree.args.args]
        stores = [node for node in nodes if isinstance(getattr(node, "ctx", None), ast.Store)]
        bases = [node.value if isinstance(node, ast.Subscript) else node for node in stores]
        written = [*arguments, *(node.id for node in bases if isinstance(node, ast.Name))]
        self.names, self._meaning = {*written}, {}
        for node in nodes:
            match node:  # but N says more than posterior.shape[-1]
                case ast.Assign([ast.Name(name)], value) if written.count(name) == 1 and not name.isupper():
                    self._meaning[name] = ast.unparse(value)

    def __call__(self, text: str, *parts: str) -> str:
        """A text with parts of the function filled in, in backticks and without NOTHING."""
        plain = any(part.isidentifier() for part in parts)
        return text.format(*(f"`{_readable(part if plain else self._expanded(part))}`" for part in parts))

    def _expanded(self, source: str) -> str:
        """The source with names replaced by what they stand for, unless it becomes too long, or is a statement."""
        long = source
        for name, value in reversed(self._meaning.items()):
            long = re.sub(rf"(?<![.\w]){name}\b(?!=)", lambda _, value=value: f"({value})", long)
        try:
            long = ast.unparse(ast.parse(long, mode="eval"))
        except SyntaxError:
            return source
        return long if len(long) <= LONGEST else source


def _readable(source: str) -> str:
    """The source without what is NOTHING, and without a second pair of parentheses around a generator expression."""
    source = re.sub(r"\(\((.* for .*)\)\)", r"(\1)", source)
    return source.replace(NOTHING, "").replace("._reference", "").strip()


def _structure(part: ast.AST, names: set[str]) -> Iterator[tuple]:
    """What a slip makes of an operation, and what to say about it ("": the general sentence)."""
    none = ast.Name(NOTHING)
    match part:
        case ast.BinOp(a, op, b):
            yield a, f"{RESULTS} without {{}}.", ast.BinOp(none, op, b)
            yield b, f"{RESULTS} without {{}}.", ast.BinOp(a, op, none)
            for other in OPERATORS.get(type(op), []):
                signs = f"`{SIGNS[other]}` in place of `{SIGNS[type(op)]}`"
                yield ast.BinOp(a, other(), b), f"{RESULTS} with {signs} in {{}}.", part
            if not isinstance(op, ast.Add | ast.Mult):
                yield ast.BinOp(b, op, a), ""
            if isinstance(op, ast.Div) and _called(b) == "sum":
                yield ast.Call(ast.Attribute(a, "softmax"), [ast.Constant(-1)], []), ""
        case ast.UnaryOp(ast.USub(), a) if not isinstance(a, ast.Constant):
            yield a, f"{RESULTS} without the minus in front of {{}}.", a
        case ast.UnaryOp(_, a):
            yield a, ""
        case ast.Compare(a, [op], [b]):
            yield from ((ast.Compare(a, [other()], [b]), "") for other in OPERATORS.get(type(op), []))
            yield ast.BinOp(part, ast.BitOr(), ast.Constant(True)), f"{RESULTS} if {{}} always holds.", part
            yield ast.BinOp(part, ast.BitAnd(), ast.Constant(False)), f"{RESULTS} if {{}} never holds.", part
        case ast.BoolOp(_, [a, b]):
            yield a, f"{RESULTS} without the condition {{}}.", b
            yield b, f"{RESULTS} without the condition {{}}.", a
        case ast.Call():
            yield from _calls(part)
        case ast.Subscript(value, index):
            yield value, f"{RESULTS} with all of {{}} in place of {{}}.", value, part
            several = index.elts if isinstance(index, ast.Tuple) else [index]
            for k, old in enumerate(several):
                for new in _indices(old):
                    at = [*several[:k], new, *several[k + 1 :]]
                    yield ast.Subscript(value, ast.Tuple(at) if len(at) > 1 else new), ""
            if isinstance(index, ast.Name):
                yield ast.Subscript(value, ast.Tuple([ast.Slice(), index])), ""
                yield index, ""
            if len(several) == 2:
                yield ast.Subscript(value, ast.Tuple(several[::-1])), ""
        case ast.Attribute(a, "T" | "mT"):
            yield a, ""
        case ast.IfExp(test, a, b):
            yield from ((new, "") for new in (a, b, ast.IfExp(test, b, a)))
        case ast.Return(value):
            yield from ((ast.Return(ast.Name(name)), "") for name in sorted(names))
            if isinstance(value, ast.Tuple) and len(value.elts) == 2:
                yield ast.Return(ast.Tuple(value.elts[::-1])), "You return the two results in the wrong order."
        case ast.AugAssign(target, op, value):
            yield from ((ast.AugAssign(target, other(), value), "") for other in OPERATORS.get(type(op), []))
            yield ast.Assign([target], value, lineno=0), ""
        case ast.Assign(targets, ast.Constant(int() | float() as n)):
            yield from ((ast.Assign(targets, ast.Constant(type(n)(m)), lineno=0), "") for m in (0, 1))
    if isinstance(part, ast.Expr | ast.AugAssign | ast.Assign):
        yield ast.Pass(), f"{RESULTS} without the line {{}}.", part


def _names(part: ast.AST, names: set[str]) -> Iterator[tuple]:
    """Other names in place of a name."""
    if isinstance(part, ast.Name) and part.id in names:
        yield from ((ast.Name(other), "") for other in sorted(names - {part.id}))


def _values(part: Any, names: set[str]) -> Iterator[tuple]:
    """Values near the right one."""
    one, name = ast.Constant(1), part.id if isinstance(part, ast.Name) and part.id in names else ""
    if isinstance(part, ast.Constant) and isinstance(part.value, int | float) and not isinstance(part.value, bool):
        yield from ((ast.Constant(m), "") for m in (part.value + 1, part.value - 1, 0, 1))
    if name or _called(part) == "len":
        yield from ((ast.BinOp(part, op(), one), "") for op in (ast.Add, ast.Sub))
    if name:
        yield ast.Attribute(part, "mT"), ""
    if name or isinstance(part, ast.Subscript) or _called(part) in {*FUNCTIONS[0], *FUNCTIONS[1], *names}:
        yield ast.UnaryOp(ast.USub(), part), ""
        yield ast.BinOp(one, ast.Sub(), part), ""
        yield from ((ast.Call(ast.Attribute(part, f), [], []), "") for f in ("exp", "log", "abs", "square"))
    if isinstance(part, ast.Call) and _called(part) == "where" and len(part.args) == 3:
        yield from ((choice, "") for choice in part.args[1:])


def _indices(index: ast.expr) -> Iterator[ast.expr]:
    """What a slip makes of an index or a slice."""
    one, last = ast.Constant(1), ast.UnaryOp(ast.USub(), ast.Constant(1))
    match index:
        case ast.Slice(lower, upper, step):
            starts = [one] if lower is None else [None, *(ast.BinOp(lower, op(), one) for op in (ast.Add, ast.Sub))]
            ends = [last] if upper is None else [None, *(ast.BinOp(upper, op(), one) for op in (ast.Add, ast.Sub))]
            yield from (ast.Slice(start, upper, step) for start in starts)
            yield from (ast.Slice(lower, end, step) for end in ends)
        case ast.Name():
            yield from (ast.BinOp(index, ast.Sub(), one), ast.BinOp(index, ast.Add(), one), ast.Constant(0), last)
        case ast.Constant(int() as n):
            yield from (ast.Constant(m) for m in (0, 1) if m != n)


def _called(part: ast.AST) -> str:
    """The name of the function that is called, if this is a call."""
    function = getattr(part, "func", None)
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _calls(call: ast.Call) -> Iterator[tuple]:
    """What a slip makes of a call."""
    function, arguments, name = call.func, call.args, _called(call)
    inner = function.value if isinstance(function, ast.Attribute) else None
    method = inner is not None and not (isinstance(inner, ast.Name) and inner.id in MODULES)
    if method and inner:
        nothing = ast.Call(ast.Attribute(ast.Name(NOTHING), name), arguments, call.keywords)
        yield inner, f"{RESULTS} without {{}}.", nothing
    elif arguments:
        yield arguments[0], ""
    if name == "softmax" and method and inner:
        total = ast.Call(ast.Attribute(inner, "sum"), arguments, [ast.keyword("keepdim", ast.Constant(True))])
        yield ast.BinOp(inner, ast.Div(), total), ""
    for other in dict.fromkeys(itertools.chain(*(line for line in FUNCTIONS if name in line))):
        yield ast.Call(ast.Attribute(inner, other) if inner else ast.Name(other), arguments, call.keywords), ""
    if name in ("sum", "mean", "softmax", "log_softmax", "all", "cumprod"):
        for axis, keep in (None, False), (0, False), (0, True), (-1, False), (-1, True):
            keywords = [ast.keyword("keepdim", ast.Constant(True))] if keep else []
            yield ast.Call(function, [ast.Constant(axis)] if axis is not None else [], keywords), ""
        if inner:
            yield ast.Subscript(inner, ast.Tuple([ast.Slice(), ast.Constant(0)])), ""
    if name == "std":
        yield ast.Call(function, arguments, [ast.keyword("correction", ast.Constant(0))]), ""
    if name == "where" and not method:
        condition, a, b = arguments
        yield ast.Call(function, [condition, b, a], []), ""
    if name == "range" and len(arguments) == 1:
        one, (stop,) = ast.Constant(1), arguments
        ends: Any = [one, stop], [ast.BinOp(stop, ast.Sub(), one)], [ast.BinOp(stop, ast.Add(), one)], [one]
        yield from ((ast.Call(function, end, []), "") for end in ends)
    if name == "zip":
        for cut in ast.Slice(ast.Constant(1)), ast.Slice(None, ast.UnaryOp(ast.USub(), ast.Constant(1))):
            yield ast.Call(function, [ast.Subscript(a, cut) for a in arguments], []), ""
    if name == "expm1":
        yield ast.UnaryOp(ast.USub(), ast.Call(function, [ast.UnaryOp(ast.USub(), a) for a in arguments], [])), ""
    for k in range(len(arguments) - 1):
        swapped = [*arguments[:k], arguments[k + 1], arguments[k], *arguments[k + 2 :]]
        yield ast.Call(function, swapped, call.keywords), ""
