# One image for every part: storage nodes and gateways (datamesh-node), the operator, the command line.
#
#   docker build -t datamesh:dev .                                 compiles in a build stage
#   docker build -t datamesh:dev --build-arg BINARIES=prebuilt …   takes the three programs from the context's bin folder,
#                                                                  built on the same Debian release; scripts/image.sh does it
# Docker needs BuildKit for it (package docker-buildx).
ARG BINARIES=compiled
# As in rust-toolchain.toml.
ARG RUST=1.95.0

FROM docker.io/library/rust:${RUST}-bookworm AS compiled
ARG RUST
# Over rust-toolchain.toml, for which rustup would fetch a toolchain with components no build needs.
ENV RUSTUP_TOOLCHAIN=${RUST}
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends clang libclang-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# The workspace's dev profile is the optimised one; see Cargo.toml. The caches stay with the builder, so that a changed
# source compiles no dependency again. What they hold of our own crates is never taken for current: Cargo goes by times of
# files, and those of another clone say nothing.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,sharing=locked \
    find . -path ./target -prune -o -type f -exec touch {} + \
    && cargo build --locked --package datamesh-node --package datamesh-operator --package datamesh-cli \
    && mkdir /bin-out \
    && strip -o /bin-out/datamesh-node target/debug/datamesh-node \
    && strip -o /bin-out/datamesh-operator target/debug/datamesh-operator \
    && strip -o /bin-out/datamesh target/debug/datamesh

FROM scratch AS prebuilt
COPY bin/datamesh-node bin/datamesh-operator bin/datamesh /bin-out/

FROM ${BINARIES} AS binaries

# The runtime stage runs nothing at build time and writes nothing at run time but to its volumes.
FROM docker.io/library/debian:bookworm-slim
LABEL org.opencontainers.image.title="DataMesh" \
      org.opencontainers.image.description="Encrypted, erasure-coded object storage on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=binaries /bin-out/ /usr/local/bin/
# glibc would keep an arena for every thread that waits for a disk, and, once a large buffer was freed, take all further ones from
# the heap, which then has holes as large: 250 MiB that hold nothing, with 1,000 clients (docs/adr/0025). Pools keep what is used often.
ENV MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=1048576 MALLOC_TRIM_THRESHOLD_=4194304
USER 65532:65532
CMD ["/usr/local/bin/datamesh-node", "--help"]
