package main

import (
	"fmt"
	"strings"
	"testing"
)

// The operator's verbs on operations of each kind, with what an operator gets to see.
func TestOperatorJourney(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.ok("provision", "rig", "quick", "good", "-p", "size=3")
	r.ok("bind", "good", "b1")
	if got := r.chandler("provision", "rig", "fail", "bad", "--context", `{"platform":"cloudfoundry"}`); got.status != exitFailed {
		t.Fatalf("the plan that fails: %+v", got)
	}
	waiting := r.object("provision", "rig", "wait", "waits", "--no-wait", "--timeout", "1m")["operation"].(string)
	stuck := r.object("provision", "rig", "wait", "stuck", "--no-wait")["operation"].(string)
	r.until("both to have been called", func() bool {
		return strings.Count(r.ok("operation", "list", "--state", "pending"), "step 1 of 1") == 2
	})
	failed := r.object("operation", "list", "--instance", "bad")["operations"].([]any)[0].(map[string]any)["id"].(string)

	var transcript strings.Builder
	for _, c := range []struct {
		why    string
		args   []string
		status int
	}{
		{"what is there", []string{"instance", "list"}, exitOK},
		{"filtered by the names of a service and a plan", []string{"instance", "list", "--service", "rig", "--plan", "quick", "-o", "json"}, exitOK},
		{"a filter without a match gives an empty list, not null", []string{"instance", "list", "--backend", "other", "-o", "yaml"}, exitOK},
		{"an instance with its bindings", []string{"instance", "show", "good"}, exitOK},
		{"for programs", []string{"instance", "show", "good", "-o", "yaml"}, exitOK},
		{"an instance that is not there", []string{"instance", "show", "nobody"}, exitNotFound},
		{"operations, newest first, with what the plugin or the error says", []string{"operation", "list"}, exitOK},
		{"only some", []string{"operation", "list", "--state", "failed", "--verb", "provision", "--limit", "1", "-o", "json"}, exitOK},
		{"of a binding", []string{"operation", "list", "--instance", "good", "--binding", "b1"}, exitOK},
		{"a filter that nobody knows", []string{"operation", "list", "--state", "lost"}, exitFailed},
		{"the timeline", []string{"operation", "show", failed}, exitOK},
		{"an operation that is not there", []string{"operation", "show", "nope"}, exitNotFound},
		{"cancelled: what the plugin waits for is given up", []string{"operation", "cancel", waiting}, exitOK},
		{"abandoned: the plugin is not called again", []string{"operation", "abandon", stuck}, exitOK},
		{"what has ended cannot be abandoned", []string{"operation", "abandon", failed}, exitFailed},
		{"retried: a new operation that fails again", []string{"operation", "retry", failed}, exitOK},
		{"purged: forgotten, with what may be left", []string{"instance", "purge", "good", "--yes"}, exitOK},
		{"and gone", []string{"instance", "purge", "good", "--yes"}, exitNotFound},
	} {
		got := r.chandler(c.args...)
		fmt.Fprintf(&transcript, "# %s\n$ chandler %s\n%s%s[%d]\n\n", c.why, strings.Join(c.args, " "), got.out, got.err, got.status)
		if got.status != c.status {
			t.Errorf("chandler %v: status %d, want %d: %s\n%s", c.args, got.status, c.status, c.why, got.err)
		}
	}
	golden(t, "testdata/operator.golden", scrubbed(transcript.String()))
}

// A list that needs several requests is whole, and the limit holds across them.
func TestListsFollowPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	for i := range 5 {
		r.ok("provision", "rig", "quick", fmt.Sprint("i", i))
	}
	a := &adminClient{}
	a.url, a.user, a.passwordFile = r.url, "operator", r.operator
	if err := a.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ limit, page, want int }{
		{limit: 100, page: 2, want: 5},
		{limit: 3, page: 2, want: 3},
		{limit: 5, page: 5, want: 5},
	} {
		a.page = c.page
		rows, err := a.list(t.Context(), "instances", "after", "/instances", map[string][]string{}, c.limit)
		if err != nil || len(rows) != c.want {
			t.Errorf("limit %d with pages of %d: %d rows, %v; want %d", c.limit, c.page, len(rows), err, c.want)
		}
	}
}

// Only operators may use the operators' API; a platform is told so.
func TestOperatorsOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.client = []string{"--url", r.url, "--user", "platform", "--password-file", r.platform}
	for _, args := range [][]string{{"instance", "list"}, {"operation", "list"}, {"plugin", "list"}, {"catalog", "status"}} {
		if got := r.chandler(args...); got.status != exitFailed || !strings.Contains(got.err, "403") {
			t.Errorf("chandler %v as a platform: status %d, %q", args, got.status, got.err)
		}
	}
	r.ok("marketplace")
}
