# PerpetualWonder in a container. Plain Debian, with ROS 2 as wheels:
#   docker build -t perpetual_wonder .
# On an image of ROS, with the ROS that it holds:
#   docker build -t perpetual_wonder:jazzy --build-arg BASE=ros:jazzy .
#   docker run --rm --shm-size=256m -v "$PWD/out:/home/pw/perpetual_wonder/out" perpetual_wonder make demo
ARG BASE=debian:bookworm-slim

# --- what the set-up needs of the system, and a user who is not root; the dev container stops here ---------------------
FROM ${BASE} AS system
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates cmake g++ git make python3 python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
# Images of newer Ubuntu have a user of that number already; it is replaced, so that files of a mount belong to one.
ARG UID=1000
RUN if getent passwd "${UID}" >/dev/null; then userdel --remove "$(getent passwd "${UID}" | cut -d: -f1)"; fi \
 && useradd --no-log-init --create-home --shell /bin/bash --uid "${UID}" pw \
 && install -d -o pw -g pw /home/pw/perpetual_wonder
USER ${UID}
WORKDIR /home/pw/perpetual_wonder
ENV LANG=C.UTF-8 PYTHONUNBUFFERED=1

# --- the virtual environment, the interfaces, the kernels --------------------------------------------------------------
FROM system AS built
# More arguments for pip, for example an index with CPU builds of torch.
ARG PW_PIP_ARGS=
COPY --chown=pw:pw . .
RUN bash scripts/container/enter.sh make setup && mkdir -p out && rm -rf ~/.cache/pip

# --- what is run -------------------------------------------------------------------------------------------------------
FROM built AS run
VOLUME /home/pw/perpetual_wonder/out
ENTRYPOINT ["bash", "/home/pw/perpetual_wonder/scripts/container/enter.sh"]
CMD ["pw", "doctor"]
