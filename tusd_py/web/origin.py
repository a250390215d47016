"""Where clients see this server: PUBLIC_URL, what a trusted proxy says, or the request itself."""

import ipaddress
import re
from collections.abc import Sequence

from aiohttp import web

from tusd_py.setting_types import Network

_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_PORT = re.compile(r"[0-9]{1,5}")


class PublicAddress:
    """Makes absolute URLs. Believes forwarded headers only from `trusted` networks."""

    def __init__(self, *, public_url: str | None, trusted: Sequence[Network]) -> None:
        self._public_url = public_url
        self._trusted = tuple(trusted)

    def url(self, request: web.Request, path: str) -> str:
        """The absolute URL of `path`; `path` alone when no host is known."""
        if self._public_url is not None:
            return self._public_url + path
        is_trusted = self._trusted and self._is_trusted(request.remote)
        said = self._forwarded(request) if is_trusted else {}
        scheme = said.get("proto", "").lower()
        host = said.get("host", "") or request.headers.get("Host", "")
        if _HOST.fullmatch(host) is None:
            return path
        if said.get("host") and _PORT.fullmatch(port := said.get("port", "")):
            host = _with_port(host, port, scheme)
        prefix = said.get("prefix", "").rstrip("/")
        if _PREFIX.fullmatch(prefix) is None:
            prefix = ""
        return f"{scheme if scheme in {'http', 'https'} else 'http'}://{host}{prefix}{path}"

    def urls(self, request: web.Request, path: str) -> set[str]:
        """All the ways in which a client that was given `url` may write it: as it is, without
        scheme and host, and with the host it now uses."""
        known = self.url(request, path)
        urls = {
            path,
            known,
            re.sub(r"^https?://[^/]*", "", known),
            re.sub(r"^https?:", "https:", known),
        }
        host = request.headers.get("Host", "")
        if _HOST.fullmatch(host) is not None:
            urls |= {f"http://{host}{path}", f"https://{host}{path}"}
        return urls

    def _is_trusted(self, remote: str | None) -> bool:
        try:
            address = ipaddress.ip_address((remote or "").partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._trusted)

    def _forwarded(self, request: web.Request) -> dict[str, str]:
        """What the proxies say: X-Forwarded-*, else Forwarded (RFC 7239). The first value is the
        one nearest to the client, and all proxies on the way are the operator's."""
        forwarded = request.headers.get("Forwarded", "").partition(",")[0]
        said = dict(_pair(text) for text in forwarded[:1024].split(";"))
        said = {name: said[name] for name in ("proto", "host") if name in said}
        for name in ("Proto", "Host", "Port", "Prefix"):
            value = request.headers.get(f"X-Forwarded-{name}")
            if value:
                said[name.lower()] = value.partition(",")[0].strip()
        return said


def _pair(text: str) -> tuple[str, str]:
    """A forwarded-pair: its name in lower case, its value without quotes."""
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"')


def _with_port(host: str, port: str, scheme: str) -> str:
    if re.search(r":[0-9]+$", host) or (scheme, port) in {("http", "80"), ("https", "443")}:
        return host
    return f"{host}:{port}"
