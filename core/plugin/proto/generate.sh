#!/bin/sh
# Regenerates plugin.pb.go, plugin_grpc.pb.go and the Python example's plugin_pb2.py
# from plugin.proto. Needs protoc and the well-known types (Debian: protobuf-compiler, libprotobuf-dev) and Go.
#
# The two generators are built at their pinned versions into a temporary directory,
# unless GENERATORS names a directory that has them.
set -eu
cd "$(dirname "$0")"

PROTOC_GEN_GO=v1.36.12
PROTOC_GEN_GO_GRPC=v1.6.2

command -v protoc >/dev/null || {
	echo 'generate.sh: protoc is missing (Debian: apt-get install protobuf-compiler libprotobuf-dev)' >&2
	exit 1
}
if [ -z "${GENERATORS:-}" ]; then
	GENERATORS=$(mktemp -d)
	trap 'rm -rf "$GENERATORS"' EXIT
	GOBIN=$GENERATORS go install "google.golang.org/protobuf/cmd/protoc-gen-go@$PROTOC_GEN_GO"
	GOBIN=$GENERATORS go install "google.golang.org/grpc/cmd/protoc-gen-go-grpc@$PROTOC_GEN_GO_GRPC"
fi
PATH="$GENERATORS:$PATH" protoc \
	--go_out=. --go_opt=paths=source_relative \
	--go-grpc_out=. --go-grpc_opt=paths=source_relative \
	--python_out=../../../docs/examples/python-plugin \
	plugin.proto
