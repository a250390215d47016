"""A main service as small as can be: makes a key pair, issues tokens, shows a page that uploads,
and is told of every file.

A real one has its users, its sessions and its files here; the upload service needs from it only the
public key and, for each user, a token that it signed.
"""

import os
import time
from pathlib import Path

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from standardwebhooks import Webhook, WebhookVerificationError

LIFETIME = 3600  # seconds
PRIVATE_KEY = web.AppKey("PRIVATE_KEY", rsa.RSAPrivateKey)
HEARD = web.AppKey("HEARD", dict[str, object])


def load_key(private: Path, public: Path) -> rsa.RSAPrivateKey:
    """The key in `private`, made at the first start; its public half is in `public` afterwards."""
    if private.exists():
        key = serialization.load_pem_private_key(private.read_bytes(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private.touch(mode=0o600)
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return key


async def login(request: web.Request) -> web.Response:
    """`POST /login {"user": "42"}` -> `{"token": ...}`; a real service asks for a password too."""
    try:
        user = (await request.json())["user"]
    except (ValueError, KeyError, TypeError):
        return web.json_response({"message": 'send {"user": "<id>"}'}, status=400)
    now = int(time.time())
    token = jwt.encode(
        {
            "iss": os.environ["JWT_ISSUER"],
            "aud": os.environ["JWT_AUDIENCE"],
            "iat": now,
            "exp": now + LIFETIME,
            "user_id": str(user),
        },
        request.app[PRIVATE_KEY],
        algorithm="RS256",
    )
    return web.json_response({"token": token, "expires_in": LIFETIME})


async def events(request: web.Request) -> web.Response:
    """`POST /events`: the upload service tells of a file. Whoever else calls knows no secret."""
    body = await request.read()
    try:
        event = Webhook(os.environ["NOTIFY_SECRET"]).verify(body, dict(request.headers))
    except (WebhookVerificationError, ValueError):
        return web.json_response({"message": "the signature is not right"}, status=401)
    # The same event may come more than once: its id says whether it is known. A real service has
    # a table for that, and writes to it in the transaction in which it does something about the
    # file. It answers when that is done, or its event is in a queue of its own, within 15 s.
    request.app[HEARD].setdefault(request.headers["webhook-id"], event)
    return web.Response(status=204)


async def heard(request: web.Request) -> web.Response:
    """`GET /heard`: all that it was told; a real service shows this to nobody."""
    return web.json_response(list(request.app[HEARD].values()))


async def page(request: web.Request) -> web.Response:
    """The page, which uploads over the REST face."""
    text = PAGE.replace("UPLOAD_URL", os.environ["UPLOAD_URL"])
    return web.Response(text=text, content_type="text/html")


async def healthz(request: web.Request) -> web.Response:
    """Alive; the public key is in its place."""
    return web.Response(text="ok\n")


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Main service</title>
<h1>Upload a file</h1>
<form>
  <label>User <input name="user" value="42" required pattern="[A-Za-z0-9]+"></label>
  <label>File <input name="file" type="file" required></label>
  <button>Upload</button>
</form>
<p><output></output></p>
<script type="module">
  const uploads = "UPLOAD_URL"
  const chunkSize = 8 * 2 ** 20
  const form = document.querySelector("form")
  const output = document.querySelector("output")

  async function answer(response) {
    const body = await response.json()
    if (!response.ok) throw new Error(body.message)
    return body
  }

  async function upload(user, file) {
    const json = { "Content-Type": "application/json" }
    const login = { method: "POST", headers: json, body: JSON.stringify({ user }) }
    const { token } = await answer(await fetch("/login", login))
    const bearer = { Authorization: `Bearer ${token}` }
    const post = async (verb, body, headers) =>
      answer(await fetch(`${uploads}/upload/${verb}`, { method: "POST", headers, body }))
    const postJson = (verb, body) => post(verb, JSON.stringify(body), { ...json, ...bearer })

    const fileId = Date.now() // a real main service has an id for every file
    const { data } = await postJson("init", {
      main_service_file_id: fileId,
      original_file_name: file.name,
    })
    const total = Math.max(1, Math.ceil(file.size / chunkSize))
    for (let index = 0; index < total; index++) {
      const form = new FormData()
      form.append("upload_session_id", data.upload_session_id)
      form.append("chunk_index", index)
      form.append("chunk", file.slice(index * chunkSize, (index + 1) * chunkSize))
      await post("chunk", form, bearer)
      output.value = `${Math.round(((index + 1) / total) * 100)} %`
    }
    const done = await postJson("complete", {
      upload_session_id: data.upload_session_id,
      total_chunks: total,
      main_service_file_id: fileId,
    })
    output.value = `Stored: ${done.data.file_path_on_upload_service}`
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault()
    const { user, file } = form.elements
    upload(user.value, file.files[0]).catch((error) => { output.value = error.message })
  })
</script>
</html>
"""


def create_app() -> web.Application:
    """The service with its key."""
    app = web.Application()
    app[PRIVATE_KEY] = load_key(Path(os.environ["PRIVATE_KEY"]), Path(os.environ["PUBLIC_KEY"]))
    app[HEARD] = {}
    app.add_routes(
        [
            web.post("/login", login),
            web.post("/events", events),
            web.get("/heard", heard),
            web.get("/", page),
            web.get("/healthz", healthz),
        ],
    )
    return app


if __name__ == "__main__":
    web.run_app(create_app(), host=os.environ.get("HOST"), port=int(os.environ["PORT"]))
