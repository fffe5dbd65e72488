# A session's image from one of the folders here; the same lock makes the environment on one machine: aiplatform environments build NAME
# A folder that needs more has a Dockerfile of its own.
ARG BASE_IMAGE=docker.io/library/python:3.12.13-slim-bookworm@sha256:d50fb7611f86d04a3b0471b46d7557818d88983fc3136726336b2a4c657aa30b
FROM ${BASE_IMAGE} AS build
ARG ENVIRONMENT
# Copied, not mounted: podman and buildah reuse a layer without looking at what was mounted.
COPY images/install-environment images/${ENVIRONMENT}/requirements.lock /build/
RUN --mount=type=cache,target=/var/cache/pip --mount=type=secret,id=ca-bundle --mount=type=secret,id=pip-conf \
    sh /build/install-environment /opt/environment /build/requirements.lock

FROM ${BASE_IMAGE}
COPY images/add-person /usr/local/sbin/
RUN sh /usr/local/sbin/add-person
COPY --from=build /opt/environment /opt/environment
ARG ENVIRONMENT
# A terminal is no login shell: /etc/profile would take the environment's programs off the path.
COPY images/${ENVIRONMENT}/jupyter_server_config.json /opt/environment/etc/jupyter/
# Says inside JupyterLab when the GPUs of a session are given back.
COPY aiplatform_hub/jupyter /opt/aiplatform/jupyter
ENV HOME=/home/jovyan JUPYTER_CONFIG_PATH=/opt/aiplatform/jupyter/config JUPYTER_PATH=/opt/aiplatform/jupyter LANG=C.UTF-8 PATH=/opt/environment/bin:$PATH SHELL=/bin/bash
USER 1000:1000
WORKDIR /home/jovyan
EXPOSE 8888
ENTRYPOINT ["dumb-init", "--"]
CMD ["jupyterhub-singleuser"]
ARG VERSION=0.1.0
ARG SOURCE=
LABEL org.opencontainers.image.title="AI Platform Hub: ${ENVIRONMENT}" \
      org.opencontainers.image.description="JupyterLab with what images/${ENVIRONMENT}/requirements.lock names" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="BSD-3-Clause"
