package template_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/template"
)

// fixedSecrets gives its number as every secret.
type fixedSecrets struct{ n int64 }

func (s fixedSecrets) text() string                               { return strconv.FormatInt(s.n, 10) }
func (s fixedSecrets) InstanceSecret(string, int) (string, error) { return s.text(), nil }
func (s fixedSecrets) BindingSecret(string, int) (string, error)  { return s.text(), nil }

// recordedSecrets remembers what it was asked for.
type recordedSecrets struct {
	asked []string
	err   error
}

func (s *recordedSecrets) InstanceSecret(name string, length int) (string, error) {
	s.asked = append(s.asked, "instance "+name+" "+strconv.Itoa(length))
	return "i-" + name, s.err
}

func (s *recordedSecrets) BindingSecret(name string, length int) (string, error) {
	s.asked = append(s.asked, "binding "+name+" "+strconv.Itoa(length))
	return "b-" + name, s.err
}

func TestSecrets(t *testing.T) {
	src := source(t, "t.yaml", `
password: '{{ bindingSecret "password" 24 }}'
admin: 'x-{{ instanceSecret "admin" 1024 | upper }}'
other: '{{ if .parameters.on }}{{ instanceSecret "never" 1 }}{{ end }}'
again: '{{ instanceSecret "password" 8 }}'
`)
	tmpl := compile(t, src, everything())
	if diff := cmp.Diff([]string{"admin", "never", "password"}, tmpl.SecretNames()); diff != "" {
		t.Errorf("names of secrets, sorted and without repetition:\n%s", diff)
	}

	secrets := &recordedSecrets{}
	d := data()
	d.Secrets = secrets
	got, err := tmpl.Render(d)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"password": "b-password", "admin": "x-I-ADMIN", "other": "", "again": "i-password"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"binding password 24", "instance admin 1024", "instance password 8"}, secrets.asked); diff != "" {
		t.Errorf("only secrets that are needed are asked for:\n%s", diff)
	}
}

// Lint, render and GET have no source: they must fail instead of making secrets.
func TestNoSecrets(t *testing.T) {
	tmpl := compile(t, scalarNode(`{{ instanceSecret "a" 8 }}`), everything())
	_, err := tmpl.Render(core.TemplateData{})
	if e := core.AsError(err); e == nil || e.Code != core.CodeFailed || !mentions(e.Detail, "secrets are not available here", "t.yaml:1:1") {
		t.Errorf("got %v", err)
	}
	got, err := tmpl.Render(core.TemplateData{Secrets: template.MaskedSecrets{}})
	if err != nil || got != "<instance secret a>" {
		t.Errorf("masked: %v, %v", got, err)
	}
}

// A store that cannot be reached is not a broken template: the code says so.
func TestSecretSourceFails(t *testing.T) {
	cause := core.Errorf(core.CodeUnavailable, "The store cannot be reached.").WithDetail("dial tcp")
	_, err := compile(t, scalarNode(`{{ bindingSecret "a" 8 }}`), everything()).Render(core.TemplateData{Secrets: &recordedSecrets{err: cause}})
	if e := core.AsError(err); e == nil || e.Code != core.CodeUnavailable || !mentions(e.Detail, "t.yaml:1:1", "dial tcp") {
		t.Errorf("got %v", err)
	}
	_, err = compile(t, scalarNode(`{{ bindingSecret "a" 8 }}`), everything()).Render(core.TemplateData{Secrets: &recordedSecrets{err: errors.New("disk full")}})
	if e := core.AsError(err); e == nil || e.Code != core.CodeFailed || !mentions(e.Detail, "disk full") || mentions(e.Message, "disk full") {
		t.Errorf("got %v", err)
	}
}
