package store

import (
	"context"
	"path/filepath"
	"testing"
)

// What a column holds goes into the destinations that the package has, and what does
// not fit is an error and no zero value.
func TestScan(t *testing.T) {
	s, err := openSession(t.Context(), dsn(filepath.Join(t.TempDir(), "x.db"), SQLiteConfig{}.withDefaults(), false))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	type word string
	var (
		text  string
		named word
		bytes []byte
		wide  int64
		n     int
		yes   bool
	)
	for _, c := range []struct {
		expression string
		dest       any
		ok         bool
		why        string
	}{
		{"'a'", &text, true, "text"},
		{"'a'", &named, true, "a string type of the domain"},
		{"x'00'", &bytes, true, "bytes"},
		{"NULL", &bytes, true, "no bytes"},
		{"-9223372036854775807", &wide, true, "the whole range"},
		{"7", &n, true, "a small number"},
		{"1", &yes, true, "truth is a number in SQLite"},
		{"2", &yes, false, "but not any number"},
		{"NULL", &text, false, "NULL is not the empty text"},
		{"NULL", &n, false, "nor zero"},
		{"'1'", &n, false, "texts are not read as numbers"},
		{"1", &text, false, "nor numbers as texts"},
		{"1.5", &wide, false, "nothing is rounded"},
	} {
		r, err := s.query(context.Background(), "SELECT "+c.expression)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Next() {
			t.Fatalf("%s gives no row: %v", c.expression, r.Err())
		}
		if err := r.Scan(c.dest); (err == nil) != c.ok {
			t.Errorf("%s into %T: %v: %s", c.expression, c.dest, err, c.why)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if text != "a" || named != "a" || wide != -9223372036854775807 || n != 7 || !yes {
		t.Errorf("got %q %q %d %d %v", text, named, wide, n, yes)
	}
	if _, err := s.exec("SELECT ?", struct{}{}); err == nil {
		t.Error("an argument of an unknown kind is taken")
	}
}
