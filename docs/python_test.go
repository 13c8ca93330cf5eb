package docs

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/chandler-broker/chandler/core/plugin/plugintest"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

const pythonPlugin = "examples/python-plugin"

// python gives Debian's interpreter, which sees Debian's packages.
func python(t *testing.T) string {
	t.Helper()
	const interpreter = "/usr/bin/python3"
	if out, err := exec.Command(interpreter, "-c", "import grpc, google.protobuf").CombinedOutput(); err != nil {
		t.Skipf("the Python example needs Debian's packages python3-grpcio and python3-protobuf (apt-get install them): %v\n%s", err, bytes.TrimSpace(out))
	}
	return interpreter
}

// The Python plugin keeps the contract, packed as docs/writing-a-plugin.md says.
func TestPythonPlugin(t *testing.T) {
	interpreter := python(t)
	binary := filepath.Join(t.TempDir(), "chandler-plugin-notes")
	pack := exec.Command(interpreter, "-m", "zipapp", pythonPlugin, "-p", interpreter, "-o", binary)
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("zipapp: %v\n%s", err, out)
	}
	plugintest.Run(t, plugintest.Config{
		Command:     []string{binary},
		WithoutMTLS: true,
		Provision:   json.RawMessage(`{"title": "first {id}"}`),
		Update:      json.RawMessage(`{"title": "second {id}"}`),
		Bind:        json.RawMessage(`{}`),
	})
}

// The checked-in plugin_pb2.py is that of plugin.proto.
func TestPythonGenerated(t *testing.T) {
	program := exec.Command(python(t), "-c", "import sys, plugin_pb2; sys.stdout.buffer.write(plugin_pb2.DESCRIPTOR.serialized_pb)")
	program.Dir = pythonPlugin
	program.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	raw, err := program.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got descriptorpb.FileDescriptorProto
	if err := proto.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := protodesc.ToFileDescriptorProto(pluginpb.File_plugin_proto)
	for _, m := range want.GetMessageType() {
		for _, f := range m.GetField() {
			f.JsonName = nil // derived from the name; protoc leaves it out for Python
		}
	}
	if diff := cmp.Diff(want, &got, protocmp.Transform()); diff != "" {
		t.Error("docs/examples/python-plugin/plugin_pb2.py is out of date, run make generate:\n" + diff)
	}
}
