package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func env(pairs map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := pairs[name]; return v, ok }
}

func write1(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadConfigPrecedence(t *testing.T) {
	file := write1(t, t.TempDir(), "c.yaml", "listen: 127.0.0.1:1\nstate: file\ncatalog: file\n")
	got, err := loadConfig(file, env(map[string]string{"CHANDLER_STATE": "env", "CHANDLER_CATALOG": "env"}), map[string]string{"catalog": "flag"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"127.0.0.1:1", "env", "flag", "./templates"}
	if diff := cmp.Diff(want, []string{got.Listen, got.State, got.Catalog, got.Templates}); diff != "" {
		t.Errorf("file < environment < flag (-want +got):\n%s", diff)
	}
}

func TestConfigInterpolation(t *testing.T) {
	dir := t.TempDir()
	write1(t, dir, "password", "from file\n")
	file := write1(t, dir, "c.yaml", `
users:
- {name: a, passwords: ["${env:DIGITS}", "${file:password}", "$${env:DIGITS}", "pre-${env:DIGITS}"]}
timing: {fastAnswer: 1m30s}
`)
	got, err := loadConfig(file, env(map[string]string{"DIGITS": "0123"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"0123", "from file", "${env:DIGITS}", "pre-0123"}, got.Users[0].Passwords); diff != "" {
		t.Errorf("passwords (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"0123", "from file", "0123"}, got.interpolated); diff != "" {
		t.Errorf("secrets to mask (-want +got):\n%s", diff)
	}
	if got.Timing.FastAnswer != Duration(90*time.Second) {
		t.Errorf("fastAnswer = %v", got.Timing.FastAnswer)
	}
}

func TestConfigRefused(t *testing.T) {
	for name, c := range map[string]struct{ why, text, want string }{
		"unknown key":        {"a typo must not be ignored silently", "listn: x", ":1:1: unknown key listn; did you mean listen?"},
		"unknown nested key": {"also deep inside", "backends:\n  a:\n    plugin: demo\n    sha: []", ":4:5: unknown key backends.a.sha; did you mean sha256?"},
		"all unknown keys":   {"one run shows them all", "stat: x\nlog: {lvl: info}", "unknown key log.lvl; did you mean level?"},
		"key twice":          {"which one would hold?", "state: a\nstate: b", "already defined"},
		"missing variable":   {"an empty password would open the broker", "users:\n- {name: a, passwords: ['${env:NOPE}']}", ":2:25: the environment variable NOPE is not set"},
		"missing file":       {"likewise", "state: ${file:/does/not/exist}", "no such file"},
		"open to the world":  {"without users only loopback is safe", "listen: 0.0.0.0:80", "no users are configured"},
		"all interfaces":     {"an empty host is every interface", "listen: ':80'", "no users are configured"},
		"user without keys":  {"nobody could log in as that user", "users: [{name: a}]", "neither passwords nor tokens"},
		"empty password":     {"would match an empty password", "users: [{name: a, passwords: ['']}]", "empty password"},
		"same user twice":    {"which role would hold?", "users: [{name: a, tokens: [x]}, {name: a, tokens: [y]}]", "is there twice"},
		"bad duration":       {"the message shows the form", "timing: {fastAnswer: 2}", `"2" is not a duration such as 90s`},
		"negative duration":  {"would mean no waiting at all", "timing: {syncBudget: -2s}", "is negative"},
		"role":               {"a mistyped operator would be a platform", "users: [{name: a, tokens: [x], role: admin}]", "is not platform, operator or metrics"},
		"two documents":      {"the second would be lost", "listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:2", "more than one YAML document"},
		"certificate names":  {"nobody could show one", "users: [{name: a, certificates: ['cn:x']}]", "need tls.clientCA"},
		"driver":             {"a misspelt one must not fall back to SQLite", "store: {driver: postgresql, dsn: x}", "did you mean postgres?"},
		"no database":        {"libpq's defaults would lead anywhere", "store: {driver: postgres}", "store.dsn: is missing"},
		"database unused":    {"the broker would silently be alone", "store: {dsn: 'postgres://db/x'}", "is for store.driver postgres only"},
		"half a certificate": {"would serve plain HTTP unexpectedly", "tls: {certificate: x}", "belong together"},
		"several at once":    {"all problems are reported in one run", "log: {level: loud, format: xml}", "log.format"},
	} {
		t.Run(name, func(t *testing.T) {
			file := write1(t, t.TempDir(), "c.yaml", c.text)
			_, err := loadConfig(file, env(nil), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want an error with %q", c.why, err, c.want)
			}
		})
	}
}

func TestConfigErrorsShowNoSecrets(t *testing.T) {
	file := write1(t, t.TempDir(), "c.yaml", "timing: {fastAnswer: '${env:SECRET}'}")
	_, err := loadConfig(file, env(map[string]string{"SECRET": "hunter2"}), nil)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want an error without the secret", err)
	}
}

// The reference must name every key, flag and variable, and its example must load.
func TestConfigurationReference(t *testing.T) {
	raw, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(raw)
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(doc, -1) {
		documented[m[1]] = true
	}
	actual := map[string]bool{}
	yamlKeys("", reflect.TypeOf(Config{}), actual)
	if diff := cmp.Diff(actual, documented); diff != "" {
		t.Errorf("keys of the code (-) and of the document (+):\n%s", diff)
	}
	for _, s := range settings {
		flag := ""
		if s.flag != "" {
			flag = "`--" + s.flag + "` "
		}
		if !strings.Contains(doc, "| "+flag+"| `"+s.env+"`") {
			t.Errorf("docs/configuration.md lacks --%s and %s", s.flag, s.env)
		}
	}
	example := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(doc)[1]
	file := write1(t, t.TempDir(), "c.yaml", example)
	_, err = loadConfig(file, func(name string) (string, bool) { return "x", !strings.HasPrefix(name, "CHANDLER_") }, nil)
	if err != nil {
		t.Errorf("the document's example does not load: %v", err)
	}
	for key := range actual {
		last := key[strings.LastIndexAny(key, ".")+1:]
		if !strings.Contains(example, strings.TrimSuffix(last, "[]")+":") {
			t.Errorf("the document's example lacks %s", key)
		}
	}
}

// yamlKeys collects the leaf keys of a configuration type in the document's notation.
func yamlKeys(prefix string, t reflect.Type, into map[string]bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("yaml")
		if key == "" {
			continue
		}
		key = prefix + key
		typ := f.Type
		switch {
		case typ.Kind() == reflect.Struct:
			yamlKeys(key+".", typ, into)
		case typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct:
			yamlKeys(key+"[].", typ.Elem(), into)
		case typ.Kind() == reflect.Map && typ.Elem().Kind() == reflect.Struct:
			yamlKeys(key+".NAME.", typ.Elem(), into)
		case typ.Kind() == reflect.Slice && (key == "prefixes" || strings.HasSuffix(key, "sha256")):
			into[key+"[]"] = true
		default:
			into[key] = true
		}
	}
}
