# SPDX-License-Identifier: Apache-2.0
"""What q8emu raises: one sentence that says where, what was expected, what was found and what to do."""


class Q8Error(Exception):
    """Base of every error that q8emu raises on purpose; the command line prints it and exits with code 2."""


class BadModel(Q8Error):
    """The model file cannot be read, or contradicts itself."""


class UnsupportedOperator(Q8Error):
    """An operator, or one of its attributes, is outside what q8emu emulates."""


class BadQuantization(Q8Error):
    """A scale or zero point is not a legal one."""


class ShapeMismatch(Q8Error):
    """Shapes or dtypes of a node's operands do not fit each other."""


class TooLarge(Q8Error):
    """A tensor, or the whole program, needs more memory or more work than the limit allows."""


class BadInput(Q8Error):
    """Input data or an option does not fit the model."""


class ConversionFailed(Q8Error):
    """A model that was written does not compute what the one that was read does."""


class BackendUnavailable(Q8Error):
    """An oracle cannot run here: a package is missing, or it refuses the model."""


class DrawingFailed(Q8Error):
    """There is no picture: Graphviz or a package is missing, or Graphviz cannot lay the graph out."""
