"""tuspyserver on uvicorn, as a process of its own: `tuspyserver_app.py PORT FOLDER`."""

import sys

import uvicorn
from fastapi import FastAPI
from tuspyserver import create_tus_router


def serve(port: int, folder: str) -> None:
    """Serve tus at /files on 127.0.0.1, without an access log."""
    app = FastAPI()
    app.include_router(create_tus_router(files_dir=folder, prefix="files"))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
