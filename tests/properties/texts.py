"""Texts that a request can hold."""

import re

from hypothesis import strategies as st

from tusd_py.names import is_segment

wire = st.binary(max_size=60).map(lambda data: data.decode("utf-8", "surrogateescape"))
"""What aiohttp makes of any bytes in a header field."""

fields = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60) | wire
"""The value of a header field, mostly one that a person could read."""

names = st.text(st.characters(exclude_categories=()), max_size=300) | st.text(
    st.sampled_from("./\\ ~a\u00fc\u20ac\U0001f600\u202e%\x00\r\n\"';:\ud800"), max_size=300
)
"""Names that clients choose, often of what is dangerous in them."""

segments = names.map(lambda name: re.sub(r"^\.+", "", name)[:60]).filter(
    is_segment
) | st.sampled_from(
    ["a", "%2e%2e", "~", "-rf", "C:", "a..", "con", "\u202egpj.exe", "\uff0e\uff0e\uff0f"]
)
"""Names that are taken as they are for a user or a file id."""
