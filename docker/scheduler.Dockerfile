# The scheduler, from the repository's root:
#   docker build -f docker/scheduler.Dockerfile -t headgate .
# BASE is any image with Python 3.10 or later and a pip that may install.
ARG BASE=python:3.12-slim
FROM ${BASE}

# Of millstream only the contract is carried: the scheduler has no use for the rest, and this build proves it.
COPY setup.cfg pyproject.toml constraints.txt /src/
COPY scheduler /src/scheduler
COPY executor/millstream/contract /src/executor/millstream/contract
COPY docker/install.py /src/docker/install.py

RUN python3 /src/docker/install.py scheduler \
    && rm -rf /src \
    && mkdir -p /var/lib/headgate \
    && chown 1000:1000 /var/lib/headgate

USER 1000:1000
WORKDIR /var/lib/headgate
# Workers run on the agents as HEADGATE_USER, somebody that every agent knows; the user of this image is unknown there.
ENV HEADGATE_DATA_DIR=/var/lib/headgate HEADGATE_USER=nobody
EXPOSE 10480
ENTRYPOINT ["headgate"]
CMD ["serve"]
