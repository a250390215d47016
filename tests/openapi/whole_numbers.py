"""A hook of Schemathesis: whole numbers without a fraction.

To JSON Schema 5.0 is an integer; the server wants it written 5, as the document says in words,
since a schema cannot say it.
"""

import schemathesis
from schemathesis import HookContext


@schemathesis.hook
def map_body(context: HookContext, body: object) -> object:
    """A body with 5 for 5.0 in its fields."""
    if not isinstance(body, dict):
        return body
    return {name: whole(value) for name, value in body.items()}


def whole(value: object) -> object:
    """The same number as an integer, where it is one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
