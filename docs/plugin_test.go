package docs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
	"github.com/chandler-broker/chandler/core/template"
)

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// plugin-protocol.md names every method, message, field and code of plugin.proto, and what the SDK reads from the environment.
func TestPluginProtocol(t *testing.T) {
	text := read(t, "plugin-protocol.md")
	name := func(what, name string) {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("plugin-protocol.md does not name the %s `%s`", what, name)
		}
	}
	file := pluginpb.File_plugin_proto
	methods := file.Services().Get(0).Methods()
	for i := range methods.Len() {
		name("method", string(methods.Get(i).Name()))
	}
	for i := range file.Messages().Len() {
		m := file.Messages().Get(i)
		name("message", string(m.Name()))
		section := messageSection(text, m)
		for k := range m.Fields().Len() {
			field := string(m.Fields().Get(k).Name())
			if !strings.Contains(section, "`"+field+"`") {
				t.Errorf("plugin-protocol.md does not name the field `%s` with its message %s", field, m.Name())
			}
		}
		for k := range m.Enums().Len() {
			values := m.Enums().Get(k).Values()
			for v := range values.Len() {
				name("code", string(values.Get(v).Name()))
			}
		}
	}
	for _, variable := range []string{plugin.Handshake.MagicCookieKey, plugin.LifelineEnv, plugin.LogLevelEnv, "PLUGIN_UNIX_SOCKET_DIR",
		"PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_CLIENT_CERT"} {
		name("variable", variable)
	}
	name("cookie", plugin.Handshake.MagicCookieValue)
}

// messageSection is the text from a message's bold name to the next one's.
func messageSection(text string, m protoreflect.MessageDescriptor) string {
	_, section, _ := strings.Cut(text, "**`"+string(m.Name())+"`**")
	section, _, _ = strings.Cut(section, "**`")
	return section
}

var goBlock = regexp.MustCompile("(?s)`([a-z_]+\\.go)`:\n\n```go\n(.*?)```")

// The Go code of writing-a-plugin.md compiles and its tests, the conformance kit among
// them, pass.
func TestWritingAPlugin(t *testing.T) {
	dir := t.TempDir()
	blocks := goBlock.FindAllStringSubmatch(read(t, "writing-a-plugin.md"), -1)
	if len(blocks) != 2 {
		t.Fatalf("found %d files of Go code; expected main.go and main_test.go", len(blocks))
	}
	for _, b := range blocks {
		write(t, filepath.Join(dir, b[1]), b[2])
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	// The reader's `go get`, of this tree and without a network: the same versions as here.
	module := strings.Replace(read(t, "../go.mod"), "module github.com/chandler-broker/chandler", "module example.org/notes", 1)
	write(t, filepath.Join(dir, "go.mod"), module+"\nrequire github.com/chandler-broker/chandler v0.0.0\n\nreplace github.com/chandler-broker/chandler => "+root+"\n")
	write(t, filepath.Join(dir, "go.sum"), read(t, "../go.sum"))
	for _, args := range [][]string{{"vet", "./..."}, {"test", "-count=1", "./..."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The page shows the Python plugin that TestPythonPlugin runs.
func TestWritingAPluginInPython(t *testing.T) {
	_, block, _ := strings.Cut(read(t, "writing-a-plugin.md"), "```python\n")
	block, _, _ = strings.Cut(block, "```")
	if block != read(t, pythonPlugin+"/__main__.py") {
		t.Error("the Python code of writing-a-plugin.md is not that of examples/python-plugin/__main__.py")
	}
}

// The service of writing-a-plugin.md goes with its plugin.
func TestWritingAPluginService(t *testing.T) {
	text := read(t, "writing-a-plugin.md")
	_, block, _ := strings.Cut(text, "`catalog/notes.yaml`:\n\n```yaml\n")
	block, _, _ = strings.Cut(block, "```")
	schema := func(field string) json.RawMessage {
		found := regexp.MustCompile("(?s)\\b" + field + ": *\\[\\]byte\\(`(.*?)`\\)").FindStringSubmatch(text)
		if found == nil {
			t.Fatalf("the Go code has no %s", field)
		}
		return json.RawMessage(found[1])
	}
	describe := func(backend string) (core.Description, bool) {
		return core.Description{Plugin: "notes", Version: "1.0.0", Isolated: true, ProvisionInputs: schema("ProvisionInputs"),
			InstanceOutputs: schema("InstanceOutputs"), BindingOutputs: schema("BindingOutputs")}, backend == "notes"
	}
	parsed, problems := catalog.Parse(catalog.NewSources(map[string][]byte{"catalog/notes.yaml": []byte(block)}),
		catalog.Options{Templates: template.New(), Describe: describe})
	for _, p := range problems {
		t.Error(catalog.Text(p))
	}
	if parsed == nil || len(parsed.Services) != 1 {
		t.Fatal("refused")
	}
}
