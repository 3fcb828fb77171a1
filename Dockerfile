# Stages build a virtual environment, and choose what of the base it needs. The image has that and nothing else: no
# distribution, no shell, no build tools. Its first layer is the system with the dependencies, its second the program.
ARG PYTHON_IMAGE=python:3.13-slim

# The same again for Dependabot, which reads no ARG. No stage needs this one, so builders skip it.
FROM python:3.13-slim AS default

FROM ${PYTHON_IMAGE} AS base

FROM base AS dependencies
WORKDIR /build
COPY requirements.txt ./
RUN python3 -m venv /build/tools \
    && python3 -m venv --without-pip /opt/pbs-exporter \
    && /build/tools/bin/pip --python /opt/pbs-exporter/bin/python install \
        --disable-pip-version-check --no-cache-dir --no-compile --require-hashes --requirement requirements.txt

FROM dependencies AS program
COPY requirements/dev.txt ./requirements/
# setuptools, in the version that development uses, with its hashes.
RUN awk '/^[^ #]/ { wanted = /^setuptools==/ } wanted' requirements/dev.txt >build.txt \
    && /build/tools/bin/pip install \
        --disable-pip-version-check --no-cache-dir --no-compile --require-hashes --requirement build.txt
COPY pyproject.toml README.md LICENSE-MIT LICENSE-APACHE ./
COPY pbs_exporter ./pbs_exporter
ARG REVISION=
RUN if [ -n "${REVISION}" ]; then echo "${REVISION}" >pbs_exporter/revision.txt; fi \
    && /build/tools/bin/pip wheel \
        --disable-pip-version-check --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
    && /build/tools/bin/pip --python /opt/pbs-exporter/bin/python install \
        --disable-pip-version-check --no-cache-dir --no-compile --no-deps --root /program dist/*.whl
COPY tools/image_root.py ./tools/
RUN python3 tools/image_root.py /opt/pbs-exporter /program /system

FROM scratch
COPY --from=program /system /
COPY --from=base /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=program /program /
# The root file system is often read-only, and log lines must not be buffered.
ENV PATH=/opt/pbs-exporter/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 9101
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=5s --retries=3 CMD ["pbs-exporter", "healthcheck"]
ENTRYPOINT ["pbs-exporter"]

ARG VERSION=
ARG REVISION=
ARG CREATED=
ARG SOURCE=
ARG PYTHON_IMAGE
LABEL org.opencontainers.image.title="pbs-exporter" \
    org.opencontainers.image.description="Prometheus exporter for Proxmox Backup Server" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0" \
    org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}" \
    org.opencontainers.image.source="${SOURCE}"
