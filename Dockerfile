# The two images of the Fine-Tune Operator: `--target operator` and `--target trainer`.
# Any base with Python 3.11 and its venv module serves. Dependencies come before sources, and torch before the
# other dependencies, so that a change of a source is built in seconds.
ARG BASE_IMAGE=docker.io/library/python:3.11-slim

FROM ${BASE_IMAGE} AS python
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1
# install-locked FILE: the locked requirements, compiled. Bytecode that is never checked against its source starts
# fastest and holds no time stamp; only new files are compiled, as a rewritten one would be in two layers.
RUN python3 -m venv /opt/venv \
    && printf '%s\n' '#!/bin/sh -e' \
        'touch /tmp/before' \
        'pip install --no-deps --require-hashes --no-compile --progress-bar off -r "$1"' \
        'find /opt/venv/lib -name "*.py" -newer /tmp/before > /tmp/new' \
        'python3 -m compileall -q -q -j 0 --invalidation-mode unchecked-hash -i /tmp/new || true' \
        'rm /tmp/before /tmp/new' > /usr/local/bin/install-locked \
    && chmod 755 /usr/local/bin/install-locked

# The trainer's lock in two parts: torch with its CUDA libraries, which are most of the image, and the rest.
FROM python AS trainer-locks
COPY requirements/trainer.txt /locks/
RUN awk '/^[^ #]/ { file = /^(torch|triton|nvidia-[^m].*|cuda-.*)==/ ? "torch" : "rest" } \
        /^[^#]/ && !/^ *#/ { print > "/locks/" (file) ".txt" }' /locks/trainer.txt

FROM python AS operator
COPY requirements/operator.txt /locks/
RUN --mount=type=cache,target=/root/.cache/pip install-locked /locks/operator.txt
# The user has neither a home nor an entry in /etc/passwd.
ENV PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 HOME=/tmp USER=finetune
WORKDIR /tmp
ENTRYPOINT ["python3", "-m", "finetune_operator"]
COPY operator/finetune_api /app/finetune_api
COPY operator/finetune_operator /app/finetune_operator
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app
USER 65532:65532

FROM python AS trainer
COPY --from=trainer-locks /locks/torch.txt /locks/
RUN --mount=type=cache,target=/root/.cache/pip install-locked /locks/torch.txt
COPY --from=trainer-locks /locks/rest.txt /locks/
RUN --mount=type=cache,target=/root/.cache/pip install-locked /locks/rest.txt
ENV PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 HOME=/tmp USER=finetune HF_HUB_DISABLE_TELEMETRY=1
WORKDIR /tmp
ENTRYPOINT ["python3", "-m", "finetune_trainer"]
COPY operator/finetune_api /app/finetune_api
COPY trainer_image/finetune_trainer /app/finetune_trainer
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app
USER 65532:65532
