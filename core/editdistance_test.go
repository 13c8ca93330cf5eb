package core_test

import (
	"testing"

	"github.com/chandler-broker/chandler/core"
)

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		why, a, b string
		want      int
	}{
		{"the same", "plan", "plan", 0},
		{"a letter too many", "plann", "plan", 1},
		{"another letter", "plam", "plan", 1},
		{"swapped neighbours are one slip", "palns", "plans", 1},
		{"nothing against something", "", "abc", 3},
		{"characters count, not bytes", "größe", "grösse", 2},
	} {
		if got, back := core.EditDistance(c.a, c.b), core.EditDistance(c.b, c.a); got != c.want || back != c.want {
			t.Errorf("%s: %q, %q: %d and %d, want %d", c.why, c.a, c.b, got, back, c.want)
		}
	}
}
