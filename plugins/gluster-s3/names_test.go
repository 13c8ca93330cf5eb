package main

import (
	"math"
	"strings"
	"testing"
)

func TestBucketNames(t *testing.T) {
	cases := []struct {
		name string
		ok   bool
		why  string
	}{
		{"abc", true, "shortest"},
		{strings.Repeat("a", 63), true, "longest"},
		{"b-7d6f0d5e-2a5b-4c1e-9a52-0d2f5c1c9a11", true, "what a catalog makes of an instance id"},
		{"my.bucket.1", true, "dots"},
		{"1.2.3", true, "digits and dots, but not four groups"},
		{"1.2.3.a", true, "not a number"},
		{"0a0", true, "digits at both ends"},
		{"", false, "empty"},
		{"ab", false, "too short"},
		{strings.Repeat("a", 64), false, "too long"},
		{"Photos", false, "upper case"},
		{"pho_tos", false, "underscore"},
		{"pho tos", false, "space"},
		{"photös", false, "not ASCII"},
		{"pho/tos", false, "slash: would be a key of another bucket"},
		{"..", false, "a path"},
		{"a..b", false, "two dots; VersityGW takes it"},
		{"-photos", false, "hyphen in front"},
		{"photos-", false, "hyphen at the end"},
		{".photos", false, "dot in front"},
		{"photos.", false, "dot at the end"},
		{"pho.-tos", false, "dot by hyphen"},
		{"pho-.tos", false, "hyphen by dot"},
		{"192.168.5.4", false, "an IP address"},
		{"300.1.1.1", false, "an IP address to some"},
		{"010.0.0.01", false, "an IP address in octal to some"},
		{"xn--photos", false, "punycode"},
		{"sthree-photos", false, "reserved"},
		{"amzn-s3-demo-photos", false, "reserved"},
		{"photos-s3alias", false, "access point aliases"},
		{"photos--ol-s3", false, "object lambda aliases"},
		{"photos.mrap", false, "multi-region access points"},
		{"photos--x-s3", false, "directory buckets"},
		{"photos--table-s3", false, "table buckets"},
		{probePrefix + "abc", false, "our own probes"},
	}
	for _, c := range cases {
		if got := checkBucketName(c.name); (got == "") != c.ok {
			t.Errorf("%q (%s): %q", c.name, c.why, got)
		}
	}
}

// FuzzBucketName: whatever is let through cannot leave its place in a URL or a path.
func FuzzBucketName(f *testing.F) {
	for _, s := range []string{"abc", "a..b", "../x", "1.2.3.4", "a%2fb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkBucketName(s) != "" {
			return
		}
		if strings.ContainsAny(s, "/\\%?#:@ \x00") || strings.Contains(s, "..") || strings.ToLower(s) != s || len(s) < 3 || len(s) > 63 {
			t.Errorf("%q is let through", s)
		}
	})
}

func TestUserNames(t *testing.T) {
	for _, fence := range []int64{0, 1, 35, 36, 12345, math.MaxInt64} {
		n := newUserName("an instance", "a binding", fence)
		s := n.String()
		if len(s) > 47 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			t.Errorf("%q is not 47 characters or fewer of [A-Z0-9]", s)
		}
		if got, ok := parseUserName(s); !ok || got != n {
			t.Errorf("%q is read as %+v, %v; want %+v", s, got, ok, n)
		}
		if again := newUserName("an instance", "a binding", fence); again == n {
			t.Error("two names for one fence are the same")
		}
	}
	for _, c := range []struct{ name, why string }{
		{"root", "the gateway's own"},
		{"", "nothing"},
		{"CHAMPION", "begins like ours"},
		{strings.ToLower(newUserName("i", "b", 77).String()), "ours are upper case"},
		{newUserName("i", "b", 77).String() + "-", "not a number at the end"},
		{"*", "everybody, in a policy"},
		{"CH" + strings.Repeat("A", 32), "no fence"},
	} {
		if n, ok := parseUserName(c.name); ok {
			t.Errorf("%q (%s) is taken for %+v", c.name, c.why, n)
		}
	}
	if a, b := newUserName("i", "b", 1), newUserName("j", "b", 1); a.Instance == b.Instance || a.Binding != b.Binding {
		t.Errorf("names do not tell instances apart: %v, %v", a, b)
	}
}

// FuzzUserName: a name that is read back is the name that was written.
func FuzzUserName(f *testing.F) {
	f.Add(newUserName("i", "b", 77).String())
	f.Add("CHAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-1")
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := parseUserName(s)
		if !ok {
			return
		}
		if again, ok := parseUserName(n.String()); !ok || again != n {
			t.Errorf("%q is read as %+v, written as %q", s, n, n)
		}
	})
}
