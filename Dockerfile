# syntax=docker/dockerfile:1
# The service, and every other command: `docker build -t persona-img .`, `docker run persona-img --help`.

FROM python:3.11-slim-bookworm AS build
# torch of PyPI brings 3 GB for GPUs with it; for those, name the index of your CUDA version.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /build
COPY constraints.txt ./
ENV PIP_CONSTRAINT=/build/constraints.txt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PATH=/opt/venv/bin:$PATH
# torch alone and first: what else asks for it then finds it, and all else comes from PyPI.
# hadolint ignore=DL3013
RUN python -m venv /opt/venv \
    && pip install --no-deps --index-url "$TORCH_INDEX" torch
# Of the sources only what tells the requirements: a change of code does not install them again.
COPY LICENSE README.md pyproject.toml ./
COPY feature_repo feature_repo
COPY src/persona_img/version.py src/persona_img/version.py
# hadolint ignore=DL3013
RUN pip install '.[postgres,redis,otel,provenance]'
COPY src src
RUN pip install --no-deps --force-reinstall . \
    && ! pip show --quiet torchvision

FROM python:3.11-slim-bookworm
# libgomp1: OpenMP, for LightGBM. tini: a first process is deaf to signals that it does not handle.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 shop \
    && useradd --uid 10001 --gid shop --no-create-home --home-dir /tmp shop \
    && install -d -o shop -g shop /data
COPY --from=build /opt/venv /opt/venv
# The home is a folder below the volume, for a volume's own may hold `lost+found`.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PERSONA_IMG_HOME=/data/shop \
    PERSONA_IMG_SERVE__HOST=0.0.0.0 \
    PERSONA_IMG_SERVE__PORT=8080 \
    PERSONA_IMG_SERVE__LOG=json
USER 10001:10001
WORKDIR /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PERSONA_IMG_SERVE__PORT'] + '/healthz', timeout=2)"]
ENTRYPOINT ["tini", "--", "persona-img"]
CMD ["serve"]
