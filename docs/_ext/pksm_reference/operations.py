"""The operations of a simulation, from their functions."""

import inspect

from pksm.simulation import OPERATIONS
from pksm_reference import markdown


def page() -> str:
    """Return a table of all operations with their fields."""
    rows = []
    for name, operation in OPERATIONS.items():
        _, *parameters = inspect.signature(operation.run).parameters.values()
        fields = ", ".join(map(_field, parameters))
        about = (inspect.getdoc(operation.run) or "").partition("\n\n")[0]
        rows.append((markdown.code(name), fields, markdown.text(about)))
    return markdown.table(("operation", "fields", "what it does"), rows)


def _field(parameter: inspect.Parameter) -> str:
    if parameter.default in (parameter.empty, None, ()):
        optional = parameter.default is not parameter.empty
        return f"[{markdown.code(parameter.name)}]" if optional else markdown.code(parameter.name)
    default = str(parameter.default).lower() if isinstance(parameter.default, bool) else parameter.default
    return f"[{markdown.code(f'{parameter.name}={default}')}]"
