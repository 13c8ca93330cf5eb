package core_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

var dnsLabel = regexp.MustCompile(`^x[a-z2-7]{13}$`)

func TestShortID(t *testing.T) {
	for _, c := range []struct{ why, id string }{
		{"a UUID, as platforms send", "0b1d9c3e-7f53-4f8e-9d1c-0d9d8d6f0a11"},
		{"an empty id", ""},
		{"an id with what no label may hold", "a/b c%2F\x00é"},
		{"a long id", strings.Repeat("x", 10_000)},
	} {
		t.Run(c.why, func(t *testing.T) {
			got := core.ShortID(c.id)
			if !dnsLabel.MatchString(got) {
				t.Errorf("%q is not a short DNS label", got)
			}
			if again := core.ShortID(c.id); again != got {
				t.Errorf("%q, then %q: names at backends must not change", got, again)
			}
		})
	}
	// Pinned: names at backends derive from it, so that another algorithm would lose them.
	if got := core.ShortID("6f3c"); got != "xl7x4uiyyfvizl" {
		t.Errorf("the short id of 6f3c was xl7x4uiyyfvizl and is now %s", got)
	}
}

// Ids that differ in one place only, as those of one platform do, have different names.
func TestShortIDsDiffer(t *testing.T) {
	seen := map[string]string{}
	for i := range 20_000 {
		id := fmt.Sprintf("0b1d9c3e-7f53-4f8e-9d1c-%012d", i)
		short := core.ShortID(id)
		if other, ok := seen[short]; ok {
			t.Fatalf("%s and %s are both %s", id, other, short)
		}
		seen[short] = id
	}
}
