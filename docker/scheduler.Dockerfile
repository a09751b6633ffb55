# The scheduler, from the repository's root:
#   docker build -f docker/scheduler.Dockerfile -t headgate .
# BASE is any image with Python 3.10 or later and pip.
ARG BASE=python:3.12-slim
FROM ${BASE}

COPY setup.cfg constraints.txt /src/
COPY scheduler /src/scheduler
COPY executor/millstream/__init__.py /src/executor/millstream/__init__.py
COPY executor/millstream/contract /src/executor/millstream/contract
COPY docker/install.py /src/docker/install.py

# Of millstream only the contract is carried: the scheduler has no use for the rest, and this build proves it.
RUN python /src/docker/install.py scheduler --source /src --package scheduler/headgate --package executor/millstream \
    && rm -rf /src \
    && mkdir -p /var/lib/headgate \
    && chown 1000:1000 /var/lib/headgate

USER 1000
WORKDIR /var/lib/headgate
ENV HEADGATE_DATA_DIR=/var/lib/headgate
EXPOSE 10480
ENTRYPOINT ["python", "-m", "headgate"]
CMD ["serve"]
