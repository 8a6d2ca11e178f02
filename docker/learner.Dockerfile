# The learner alone, as a container of one's own on SageMaker: `docker build -f docker/learner.Dockerfile .`
FROM python:3.11-slim-bookworm

# Of the pinned lock only what the learner needs: no Airflow, no AWS client.
COPY requirements.lock /src/
RUN pip install --no-cache-dir --constraint /src/requirements.lock numpy protobuf scipy starlette uvicorn
COPY pyproject.toml README.md LICENSE /src/
COPY airflow_ll /src/airflow_ll
RUN pip install --no-cache-dir --no-deps /src

COPY docker/learner/train docker/learner/serve /usr/local/bin/
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
ENV PYTHONUNBUFFERED=1
EXPOSE 8080
