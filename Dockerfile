# docker build --tag tusd-py .
# docker run --rm -p 8000:8000 -v uploads:/data \
#   -e MAIN_SERVICE_JWT_PUBLIC_KEY="$(cat public.pem)" \
#   -e EXPECTED_JWT_ISSUER=main-service -e EXPECTED_JWT_AUDIENCE=upload-service tusd-py
# Nothing is written outside /data, but counters in /dev/shm: `--read-only` may be added. There is a
# worker for each core, or as many as the container's `--cpus`, four at most; or say -e WORKERS=2.

ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv /opt/tusd-py
# Every version is fixed and every file is compared with its hash, the build backend's too, which
# does not stay in the image.
COPY requirements.lock ./
RUN /opt/tusd-py/bin/pip install --no-cache-dir --disable-pip-version-check \
      --require-hashes --requirement requirements.lock
COPY pyproject.toml setup.cfg README.md LICENSE ./
# What the pages for people need of npm's packages is in it if `make run` was there once before.
COPY tusd_py tusd_py
RUN /opt/tusd-py/bin/pip install --no-cache-dir --disable-pip-version-check \
      --no-build-isolation --no-deps . \
    && /opt/tusd-py/bin/pip uninstall --yes setuptools

FROM ${BASE}
LABEL org.opencontainers.image.title="tusd_py" \
      org.opencontainers.image.description="Resumable upload server: tus 1.0.0 and REST chunks" \
      org.opencontainers.image.licenses="MIT"
# The number is fixed, so that folders on the host can be given to it: chown 10001:10001.
RUN groupadd --gid 10001 tusd \
    && useradd --uid 10001 --gid tusd --home-dir /data --no-create-home --shell /usr/sbin/nologin tusd \
    && install --directory --owner=tusd --group=tusd /data
COPY --from=build /opt/tusd-py /opt/tusd-py
# LOCAL_TEMP_CHUNK_PATH means what it means elsewhere (uploads in progress, and final/ with local
# storage); the image only points it at the volume, since its default under /tmp goes with the
# container.
ENV PATH=/opt/tusd-py/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LOCAL_TEMP_CHUNK_PATH=/data
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
# http.client and not urllib.request: that one would ask an HTTP_PROXY for 127.0.0.1.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 8000), timeout=3); c.request('GET', '/healthz'); assert c.getresponse().status == 200"]
ENTRYPOINT ["tusd-py"]
