package store

import (
	"bufio"
	"bytes"
	"context"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// Rows gives all rows that move with a store, opened, but for what belongs to the place: holders and own documents.
func Rows(t *testing.T, s core.Store) map[string][][]any {
	t.Helper()
	all := map[string][][]any{}
	err := s.View(context.Background(), func(tx core.Tx) error {
		own, err := own(tx)
		if err != nil {
			return err
		}
		for i := range archivedTables {
			table := &archivedTables[i]
			var page [][]any
			for page, err = table.read(own, table.first()); len(page) > 0 && err == nil; page, err = table.read(own, table.after(page)) {
				for _, row := range page {
					if table.name == "documents" && ownDocument(row[0]) {
						continue
					}
					row = slices.Clone(row)
					if err := table.open(own.cipher, row); err != nil {
						return err
					}
					if i := table.index("holder"); i >= 0 {
						row[i] = nil
					}
					all[table.name] = append(all[table.name], row)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A column that a migration adds must move, too.
func TestArchivedTablesAreTheSchema(t *testing.T) {
	s, err := OpenSQLite(t.Context(), SQLiteConfig{Path: t.TempDir() + "/store.db"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want, got := map[string][]string{}, map[string][]string{}
	err = s.View(t.Context(), func(tx core.Tx) error {
		own, err := own(tx)
		if err != nil {
			return err
		}
		return own.rows("schema", false, func(r rows) error {
			var table, column string
			err := r.Scan(&table, &column)
			want[table] = append(want[table], column)
			return err
		}, `SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c
			WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.name`)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, stays := range []string{"leases", "uses", "counts", "migrations"} {
		delete(want, stays)
	}
	for _, table := range archivedTables {
		for _, c := range table.columns {
			if !c.foreign {
				got[table.name] = append(got[table.name], c.name)
			}
		}
		sort.Strings(got[table.name])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-schema +archive):\n%s", diff)
	}
}

// FuzzArchive: the decoder takes any bytes without a panic and without more memory than
// they are worth, and gives what the encoder wrote.
func FuzzArchive(f *testing.F) {
	var buf bytes.Buffer
	e := &encoder{w: bufio.NewWriter(&buf)}
	e.table("fences", []string{"instance_id", "fence"})
	for _, row := range [][]any{{"i", int64(-7)}, {nil, []byte{}}, {strings.Repeat("x", 5000), []byte("b")}} {
		if err := e.row(row); err != nil {
			f.Fatal(err)
		}
	}
	if err := e.end(map[string]int64{"fences": 3}); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Add([]byte("T\x01a\xff\xff\xff\xff\x0f"))
	f.Add([]byte("T\x01a\x01\x01bRb\xff\xff\xff\x7f"))
	f.Add([]byte("E\x04null"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &decoder{r: bufio.NewReader(bytes.NewReader(data))}
		var out bytes.Buffer
		e := &encoder{w: bufio.NewWriter(&out)}
		for {
			rec, err := d.next()
			if err != nil {
				return
			}
			if rec.end != nil {
				break
			}
			if rec.table != "" {
				e.table(rec.table, rec.columns)
			} else if err := e.row(rec.row); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.w.Flush(); err != nil {
			t.Fatal(err)
		}
		again := &decoder{r: bufio.NewReader(&out)}
		d = &decoder{r: bufio.NewReader(bytes.NewReader(data))}
		for {
			want, err := d.next()
			if err != nil || want.end != nil {
				return
			}
			got, err := again.next()
			if err != nil || !cmp.Equal(want, got, cmp.AllowUnexported(archiveRecord{})) {
				t.Fatalf("%+v, %v; want %+v", got, err, want)
			}
		}
	})
}
