package store

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

// sealedTable says where sealed values are: what a rewrap goes through. A test
// compares it with what the Cipher is asked for.
type sealedTable struct {
	name    string
	from    string   // FROM clause
	keys    []string // primary key, in whose order the table is read
	numbers bool     // the keys are numbers
	names   []string // further columns that the row id is made of
	blobs   []string
	texts   []string
	// row gives the row id for the Cipher from keys and names.
	row func(keys, names []string) string
}

var sealedTables = []sealedTable{
	{name: "instances", from: "instances", keys: []string{"id"},
		blobs: []string{"parameters", "context", "inputs", "outputs", "attempted", "labels", "attributes"},
		texts: []string{"dashboard_url"},
		row:   func(keys, _ []string) string { return keys[0] }},
	{name: "bindings", from: "bindings", keys: []string{"instance_id", "id"},
		blobs: []string{"parameters", "context", "resource", "inputs", "outputs", "attempted", "result"},
		texts: []string{"request"},
		row:   func(keys, _ []string) string { return rowID(keys...) }},
	{name: "operations", from: "operations", keys: []string{"seq"}, numbers: true, names: []string{"id"},
		blobs: []string{"wanted", "handle", "seed", "error", "left_behind", "identity"},
		texts: []string{"request", "progress_text"},
		row:   func(_, names []string) string { return names[0] }},
	{name: "steps", from: "steps s JOIN operations o ON o.seq = s.operation", keys: []string{"s.operation", "s.seq"}, numbers: true,
		names: []string{"o.id", "s.at"},
		texts: []string{"text", "detail"},
		row:   func(_, names []string) string { return rowID(names...) }},
	{name: "secrets", from: "secrets", keys: []string{"instance_id", "binding_id", "name"},
		blobs: []string{"value"},
		row:   func(keys, _ []string) string { return rowID(keys...) }},
}

// sealedRow is one row as it is stored.
type sealedRow struct {
	keys, names []string
	blobs       [][]byte
	texts       []string
}

// page is the query for rows behind a key: newest first if last.
func (st *sealedTable) page(last bool) string {
	columns := append(append(append(append([]string{}, st.keys...), st.names...), st.blobs...), st.texts...)
	order := strings.Join(st.keys, ", ")
	if last {
		order = strings.Join(st.keys, " DESC, ") + " DESC"
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(st.keys)), ", ")
	return fmt.Sprintf("SELECT %s FROM %s WHERE (%s) > (%s) ORDER BY %s LIMIT ?",
		strings.Join(columns, ", "), st.from, strings.Join(st.keys, ", "), marks, order)
}

// read gives up to limit rows behind the keys; nil keys begin.
func (st *sealedTable) read(t *tx, after []string, last bool, limit int) ([]sealedRow, error) {
	args, err := st.keyArgs(after)
	if err != nil {
		return nil, err
	}
	var list []sealedRow
	err = t.rows("read sealed "+st.name, false, func(r rows) error {
		row, err := st.scan(r)
		list = append(list, row)
		return err
	}, st.page(last), append(args, limit)...)
	return list, err
}

// keyArgs are the keys as the database takes them.
func (st *sealedTable) keyArgs(keys []string) ([]any, error) {
	args := make([]any, len(st.keys))
	for i := range st.keys {
		key := ""
		if i < len(keys) {
			key = keys[i]
		}
		if !st.numbers {
			args[i] = key
			continue
		}
		n, err := strconv.ParseInt("0"+key, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("a key of %s is not a number: %w", st.name, err)
		}
		args[i] = n
	}
	return args, nil
}

func (st *sealedTable) scan(r rows) (sealedRow, error) {
	row := sealedRow{keys: make([]string, len(st.keys)), names: make([]string, len(st.names)),
		blobs: make([][]byte, len(st.blobs)), texts: make([]string, len(st.texts))}
	var dest []any
	for i := range row.keys {
		dest = append(dest, word{&row.keys[i]})
	}
	for i := range row.names {
		dest = append(dest, word{&row.names[i]})
	}
	for i := range row.blobs {
		dest = append(dest, blob{&row.blobs[i]})
	}
	for i := range row.texts {
		dest = append(dest, &row.texts[i])
	}
	return row, r.Scan(dest...)
}

// word scans a part of a row id: text, a number, or NULL, which is written as stepRow does.
type word struct{ to *string }

// Scan implements sql.Scanner.
func (w word) Scan(src any) error {
	if text, ok := src.([]byte); ok {
		src = string(text)
	}
	*w.to = fmt.Sprint(src)
	return nil
}

// resealed is a row of which some values must be replaced.
type resealed struct {
	set, where []string
	args, olds []any
	keys       []any
}

// reseal finds the values of a row that are stale and seals them again; nil if there are none.
func (st *sealedTable) reseal(k *Keyring, row sealedRow) (*resealed, error) {
	var out resealed
	id := st.row(row.keys, row.names)
	replace := func(column string, old, sealed any) {
		out.set = append(out.set, column+" = ?")
		out.where = append(out.where, column+" = ?")
		out.args, out.olds = append(out.args, sealed), append(out.olds, old)
	}
	o, s := opener{cipher: k, table: st.name, row: id}, sealer{cipher: k, table: st.name, row: id}
	for i, column := range st.blobs {
		if old := row.blobs[i]; old != nil && k.stale(old) {
			plain := o.bytes(column, append([]byte{}, old...))
			replace(column, old, s.bytes(column, plain))
		}
	}
	for i, column := range st.texts {
		old := row.texts[i]
		if sealed, err := unsealText(old); old != "" && (err != nil || k.stale(sealed)) {
			replace(column, old, s.text(column, o.text(column, old)))
		}
	}
	switch {
	case o.err != nil:
		return nil, core.Errorf(core.CodeFailed, "A value in the store cannot be decrypted: it is damaged, or was put there by somebody else.").WithCause(o.err)
	case s.err != nil:
		return nil, s.err
	case len(out.set) == 0:
		return nil, nil
	}
	var err error
	out.keys, err = st.keyArgs(row.keys)
	return &out, err
}

// write replaces the values by compare-and-swap; false if somebody else changed one of them meanwhile.
func (st *sealedTable) write(t *tx, r *resealed) (bool, error) {
	where := r.where
	for _, key := range st.keys {
		where = append(where, key[strings.Index(key, ".")+1:]+" = ?")
	}
	query := fmt.Sprintf("UPDATE %s SET %s WHERE %s", st.name, strings.Join(r.set, ", "), strings.Join(where, " AND "))
	n, err := t.exec("reseal "+st.name, query, append(append(append([]any{}, r.args...), r.olds...), r.keys...)...)
	return n == 1, err
}
