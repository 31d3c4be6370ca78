# The program with its libtorch, as Kubernetes or a machine without Rust runs it:
#   docker build -t tchvision .                      for CPUs, 1 GB
#   docker build -t tchvision:cuda --build-arg CUDA=1 .    with NVIDIA's libraries, 5 GB
#   docker run --rm -v "$PWD":/work -w /work tchvision experiment run experiments/demo.yaml
FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
# The program looks for libtorch where it was built: the path is the same in both stages.
WORKDIR /opt/tchvision
COPY . .
ARG CUDA=
RUN make build ${CUDA:+cuda} \
    && cp target/release/tchvision . \
    && rm -rf target .venv/lib/python3*/site-packages/torch/include .venv/lib/python3*/site-packages/torch/test

FROM debian:bookworm-slim
# libtorch's OpenMP and C++; certificates for weights and data sets from the network.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/tchvision/.venv/lib /opt/tchvision/.venv/lib
COPY --from=build /opt/tchvision/tchvision /usr/local/bin/tchvision
RUN ln -s "$(echo /opt/tchvision/.venv/lib/python3*/site-packages/torch)" /opt/tchvision/libtorch
# Fails here, and not on a node, where a library is missing.
RUN tchvision models show resnet18 > /dev/null
ENTRYPOINT ["tchvision"]
