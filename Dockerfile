# Builds pasta-fasta and puts the one binary into a slim image that runs as an ordinary user.
#
# It runs no checks (./scripts/test does) and holds no configuration beyond the address to listen on: every other
# setting is a PASTA_FASTA_* variable or a flag. scripts/container builds this very file where no registry can be
# reached, starts what comes out and cooks with it.
#
#   docker build -t pasta-fasta .
#   docker run --rm -p 127.0.0.1:8080:8080 pasta-fasta

# The tag pins the compiler that rust-toolchain.toml pins; that file stays out of the image, since its clippy and
# rustfmt are not needed here and rustup would download them.
FROM rust:1.95-slim-bookworm AS builder
WORKDIR /src
# .dockerignore is an allow list: the manifest, the lock file, build.rs, .cargo, src, migrations and openapi.yaml.
# So one COPY takes what the compiler reads and nothing else, and an edited README or test does not build again.
COPY . .
# Cache mounts instead of a first build with stand-in sources: dependencies are compiled once and kept between
# builds, and no list of stand-ins has to follow Cargo.toml. The binary is copied out because a mount is not part of
# the layer. `locked`: two builds at once would spoil each other's target directory. `touch`: cargo compares times, and
# a checkout older than the last build would be taken for already built; dependencies keep theirs.
RUN --mount=type=cache,id=pasta-fasta-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=pasta-fasta-target,target=/src/target,sharing=locked \
    find . -path ./target -prune -o -type f -exec touch {} + \
    && cargo build --release --locked \
    && install -m 0755 target/release/pasta-fasta /usr/local/bin/pasta-fasta

# Debian slim and not distroless: the binary needs the builder's glibc and nothing more, a shell helps whoever looks
# into a running kitchen, and this base can be made from Debian's own packages (scripts/container does).
FROM debian:bookworm-slim
# A fixed number, so that Kubernetes can check `runAsNonRoot` and volumes can be owned in advance.
RUN groupadd --gid 10001 pasta \
    && useradd --uid 10001 --gid pasta --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin pasta
COPY --from=builder /usr/local/bin/pasta-fasta /usr/local/bin/pasta-fasta
USER 10001:10001

# Inside a container loopback is reachable by nobody else, so here, and only here, the service listens on every
# address and does without keys. Who can reach it is decided by the port that is published: prefer
# -p 127.0.0.1:8080:8080, or give it PASTA_FASTA_API_KEYS, for the service starts threads and processes for whoever may
# place an order.
ENV PASTA_FASTA_BIND=0.0.0.0:8080 \
    PASTA_FASTA_INSECURE=true
EXPOSE 8080

# The binary asks its own /readyz, so the image needs no curl. Ready takes milliseconds; 5 s is for a machine under load.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["pasta-fasta", "healthcheck"]

# Last, since a new revision changes them with every commit: docker build --build-arg REVISION=$(git rev-parse HEAD).
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pasta-fasta" \
      org.opencontainers.image.description="A concurrency laboratory behind an HTTP job API: the same work under an event loop, threads or processes, measured." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# The exec form: pasta-fasta is process 1, a small init that collects orphans and hands SIGTERM on to the service, so
# `docker stop` drains instead of killing.
ENTRYPOINT ["pasta-fasta"]
CMD ["serve"]
