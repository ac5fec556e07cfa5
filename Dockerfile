# The command `headroom` with the nodes of `dub` and `ultrasinger`. Build: docker build -t headroom .
# torch's CUDA comes with its wheel; of the host only the driver is used (580 or newer, and NVIDIA's container toolkit).
FROM python:3.11 AS build
RUN python -m venv /opt/headroom
COPY pyproject.toml README.md LICENSE constraints.txt /src/
COPY conf /src/conf
COPY pipelines /src/pipelines
COPY nodes /src/nodes
RUN /opt/headroom/bin/pip install --no-cache-dir -c /src/constraints.txt "/src[dub,ultrasinger,report]"

FROM python:3.11-slim
COPY --from=build /opt/headroom /opt/headroom
# Two volumes, owned by a user without rights: all that is remembered (weights, measured footprints, environments, detections), by
# HEADROOM_HOME, and what runs leave behind.
RUN useradd --create-home --uid 1000 headroom && mkdir -p /data /work && chown headroom /data /work
ENV PATH=/opt/headroom/bin:$PATH HEADROOM_HOME=/data PYTHONUNBUFFERED=1
USER headroom
WORKDIR /work
VOLUME ["/data", "/work"]
ENTRYPOINT ["headroom"]
CMD ["detect"]
