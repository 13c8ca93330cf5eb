package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPolicyEdits(t *testing.T) {
	const foreign = `{"Sid":"Theirs","Effect":"Deny","Principal":{"AWS":["a","b"]},"Action":"s3:*","Resource":"arn:aws:s3:::x/*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`
	doc := `{"Version":"2008-10-17","Id":"kept","Statement":` + foreign + `}`
	p, err := parsePolicy(doc)
	must(t, err)
	p.allow("U1", "x", accessReadOnly)
	p.allow("U2", "x", accessReadWrite)
	p.allow("U3", "x", accessReadOnly)
	if p.allow("U3", "x", accessReadOnly) {
		t.Error("allowing again is said to change something")
	}
	p, err = parsePolicy(p.String())
	must(t, err)
	if len(p.statements) != 3 {
		t.Fatalf("statements: %s", p)
	}
	if !p.keepPrincipals(false, func(n string) bool { return n == "U1" }) {
		t.Error("dropping principals is said to change nothing")
	}
	var got, want any
	must(t, json.Unmarshal([]byte(p.String()), &got))
	actions, err := json.Marshal(readActions)
	must(t, err)
	must(t, json.Unmarshal([]byte(`{"Version":"2008-10-17","Id":"kept","Statement":[`+foreign+`,
		{"Sid":"ChandlerReadOnly","Effect":"Allow","Principal":{"AWS":["U1"]},"Action":`+string(actions)+`,"Resource":["arn:aws:s3:::x","arn:aws:s3:::x/*"]}]}`), &want))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	p.keepPrincipals(true, func(n string) bool { return n == "b" })
	if len(p.statements) != 1 || !cmp.Equal(p.statements[0].principals, []string{"b"}) {
		t.Errorf("after dropping everybody but b: %s", p)
	}
	p.keepPrincipals(true, func(string) bool { return false })
	if p.String() != "" {
		t.Errorf("a policy without statements is %q", p.String())
	}
	for _, bad := range []string{"[", `{"Statement":3}`, "null3"} {
		if _, err := parsePolicy(bad); err == nil {
			t.Errorf("%q is taken for a policy", bad)
		}
	}
}

// FuzzPolicy: no document makes the parser fail badly, and what it writes it reads.
func FuzzPolicy(f *testing.F) {
	f.Add(`{"Version":"2012-10-17","Statement":[{"Sid":"ChandlerReadOnly","Principal":{"AWS":["a"]}},{"Principal":"*"},{"NotPrincipal":{"AWS":"x"}}]}`)
	f.Add(`{"Statement":{"Principal":{"Service":"x"}}}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, doc string) {
		p, err := parsePolicy(doc)
		if err != nil {
			return
		}
		p.keepPrincipals(true, func(n string) bool { return len(n)%2 == 0 })
		p.allow("U", "bucket", accessReadOnly)
		if _, err := parsePolicy(p.String()); err != nil {
			t.Errorf("%s is not read back: %v", p, err)
		}
	})
}

// TestStalePrincipals: users who were deleted behind our back make the gateway refuse
// every policy that still names them. They are dropped, ours and others', and what
// else there is in the policy stays.
func TestStalePrincipals(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsVersityGW))
	root := rootOf(t, g)
	admin := p.backend.accounts.(*versityAccounts).admin
	i := newInstance("i")
	must(t, i.provision(t, p, map[string]any{"bucket": "photos"}))
	first, err := i.bind(t, p, "b1", accessReadWrite)
	must(t, err)
	for _, name := range []string{"auditor", "leaver"} {
		must(t, admin.create(t.Context(), name, "a-secret-of-theirs"))
	}
	doc, err := root.policy(t.Context(), "photos")
	must(t, err)
	theirs := `{"Effect":"Allow","Principal":{"AWS":["auditor","leaver","root"]},"Action":"s3:ListBucket","Resource":"arn:aws:s3:::photos"}`
	doc = strings.Replace(doc, `"Statement":[`, `"Statement":[`+theirs+`,`, 1)
	must(t, root.setPolicy(t.Context(), "photos", doc))
	must(t, admin.delete(t.Context(), "leaver"))
	must(t, admin.delete(t.Context(), first.AccessKeyID))

	second, err := i.bind(t, p, "b2", accessReadOnly)
	must(t, err)
	doc, err = root.policy(t.Context(), "photos")
	must(t, err)
	if strings.Contains(doc, "leaver") || strings.Contains(doc, first.AccessKeyID) || !strings.Contains(doc, `["auditor","root"]`) || !strings.Contains(doc, second.AccessKeyID) {
		t.Errorf("policy after the repair: %s", doc)
	}
	must(t, i.unbind(t, p, "b1"))
	must(t, i.unbind(t, p, "b2"))
	if err := existsErr(clientOf(t, g, keys{"auditor", "a-secret-of-theirs"}), "photos"); err != nil {
		t.Errorf("somebody else's grant is gone: %v", err)
	}
}

// TestManyBindings: bindings of one bucket side by side lose none of each other's grants.
func TestManyBindings(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsVersityGW))
	i := newInstance("i")
	must(t, i.provision(t, p, map[string]any{"bucket": "photos"}))
	const n = 30
	type made struct {
		k   keys
		err error
	}
	results := make(chan made, n)
	for k := range n {
		req := i.bindRequest(fmt.Sprint("b", k), map[string]any{"access": accessReadOnly})
		go func() {
			r, err := p.Bind(context.Background(), req)
			var out bindingOutputs
			if err == nil {
				err = r.Outputs().Decode(&out)
			}
			results <- made{keys{out.AccessKeyID, out.SecretAccessKey}, err}
		}()
	}
	for range n {
		m := <-results
		must(t, m.err)
		if err := existsErr(clientOf(t, g, m.k), "photos"); err != nil {
			t.Errorf("keys %s: %v", m.k.id, err)
		}
	}
}
