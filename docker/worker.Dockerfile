# A worker, from the repository's root:
#   docker build -f docker/worker.Dockerfile -t millstream-worker .
# Stream programs that need more than Polars start from this image and add it.
# BASE is any image with Python 3.10 or later and a pip that may install.
ARG BASE=python:3.12-slim
FROM ${BASE}

# executor/ alone: millstream never needs headgate, and this build proves it.
COPY setup.cfg pyproject.toml constraints.txt /src/
COPY executor /src/executor
COPY docker/install.py /src/docker/install.py

RUN python3 /src/docker/install.py worker && rm -rf /src

# What a program prints is in its sandbox at once, and no bytecode is left there.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# The user is the job's: Mesos starts the container as the framework's user.
CMD ["millstream-worker"]
