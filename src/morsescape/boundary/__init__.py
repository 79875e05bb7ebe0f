"""Where values come in: one mechanism that checks the arguments of public calls.

    @checked(l2=a_number(least=0), seed=a_seed(), theta=a_vector(of="f"))
    def search(f, theta=None, *, l2=0.0, seed=0): ...

A rule takes what came to the one form that the body works with, or refuses it with an
`ArgumentError` before any work is done. The body runs in `plain_torch`, and what it raises, the
user's own code included, passes through as it is. A value that is the default is taken as it is:
`None` where the signature has it.
"""

from morsescape.boundary.checked import Argument, Rule, checked, option, spelt
from morsescape.boundary.names import a_path, a_text, choice, choices, each, named, pair
from morsescape.boundary.numbers import a_boolean, a_count, a_number, a_seed, an_integer
from morsescape.boundary.plain_torch import fitting, plain_torch
from morsescape.boundary.tensors import a_tensor, a_vector
from morsescape.boundary.things import a_device, a_function, a_progress, instance

__all__ = [
    "Argument",
    "Rule",
    "a_boolean",
    "a_count",
    "a_device",
    "a_function",
    "a_number",
    "a_path",
    "a_progress",
    "a_seed",
    "a_tensor",
    "a_text",
    "a_vector",
    "an_integer",
    "checked",
    "choice",
    "choices",
    "each",
    "fitting",
    "instance",
    "named",
    "option",
    "pair",
    "plain_torch",
    "spelt",
]
