# A worker, from the repository's root:
#   docker build -f docker/worker.Dockerfile -t millstream-worker .
# Stream programs that need more than Polars start from this image and add it.
# BASE is any image with Python 3.10 or later and pip.
ARG BASE=python:3.12-slim
FROM ${BASE}

COPY setup.cfg constraints.txt /src/
COPY executor /src/executor
COPY docker/install.py /src/docker/install.py

# executor/ alone: millstream never needs headgate, and this build proves it.
RUN python /src/docker/install.py worker --source /src --package executor/millstream \
    && printf '#!/bin/sh\nexec python -m millstream.worker "$@"\n' > /usr/local/bin/millstream-worker \
    && chmod 755 /usr/local/bin/millstream-worker \
    && rm -rf /src

# The user is the job's: Mesos starts the container as the framework's user.
CMD ["millstream-worker"]
