package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

// archivedTable is a table that moves with a store: all of them but leases, which are of
// processes, and counts, which triggers fill.
type archivedTable struct {
	name    string
	keys    []string // primary key, in whose order the table is read
	from    string   // FROM clause, if it is not the table alone
	columns []archivedColumn
	sealed  *sealedTable // nil without sealed columns
	number  bool         // its first key is made by the database
}

// archivedColumn is one column.
type archivedColumn struct {
	name    string
	bool    bool   // PostgreSQL has truth values, which travel as 0 and 1
	expr    string // how it is read, where it is not the table's own
	foreign bool   // it is only read, for the row id
}

// archivedTables are in the order in which rows can be inserted. A test compares them with
// the schemas of both databases.
var archivedTables = []archivedTable{
	newArchivedTable("documents", "key", "key value"),
	newArchivedTable("definitions", "seq", "seq digest blob").numbered(),
	newArchivedTable("instances", "id", `id service_id plan_id definition backend organization_guid space_guid parameters context
		ready? usable? inputs outputs attempted dashboard_url maintenance_version labels attributes last_operation created_at updated_at plugin_version`),
	newArchivedTable("bindings", "instance_id id", `instance_id id service_id plan_id definition backend request parameters context resource
		predecessor ready? inputs outputs attempted result last_operation created_at updated_at plugin_version revoke_at`),
	newArchivedTable("operations", "seq", `seq id verb instance_id binding_id state phase request definition backend service_id plan_id wanted
		handle seed fence calls next_at failures deadline progress_text progress_percent detached? reported? cancelled_by error left_behind
		user identity request_id holder epoch created_at started_at finished_at gone trace`).numbered(),
	stepsTable(),
	newArchivedTable("fences", "instance_id", "instance_id fence"),
	newArchivedTable("secrets", "instance_id binding_id name", "instance_id binding_id name value"),
	newArchivedTable("reservations", "backend field value", "backend field value instance_id"),
}

func newArchivedTable(name, keys, columns string) archivedTable {
	t := archivedTable{name: name, keys: strings.Fields(keys), from: name}
	for column := range strings.FieldsSeq(columns) {
		plain, truth := strings.CutSuffix(column, "?")
		t.columns = append(t.columns, archivedColumn{name: plain, bool: truth})
	}
	if i := slices.IndexFunc(sealedTables, func(s sealedTable) bool { return s.name == name }); i >= 0 {
		t.sealed = &sealedTables[i]
	}
	return t
}

func (t archivedTable) numbered() archivedTable {
	t.number = true
	return t
}

// stepsTable has the operation's id, too, which a step's row id is made of.
func stepsTable() archivedTable {
	t := newArchivedTable("steps", "operation seq", "operation seq at kind text detail operation_id")
	t.from = "steps s JOIN operations o ON o.seq = s.operation"
	for i := range t.columns {
		c := &t.columns[i]
		c.expr = `s."` + c.name + `"`
		if c.name == "operation_id" {
			c.expr, c.foreign = "o.id", true
		}
	}
	return t
}

func (t *archivedTable) names() []string {
	list := make([]string, len(t.columns))
	for i, c := range t.columns {
		list[i] = c.name
	}
	return list
}

func (t *archivedTable) index(column string) int {
	return slices.IndexFunc(t.columns, func(c archivedColumn) bool { return c.name == column })
}

// page is the query for rows behind a key.
func (t *archivedTable) page() string {
	var columns, keys []string
	for _, c := range t.columns {
		if c.expr == "" {
			c.expr = `"` + c.name + `"`
		}
		columns = append(columns, c.expr)
	}
	for _, k := range t.keys {
		if t.from != t.name {
			k = "s." + k
		}
		keys = append(keys, k)
	}
	list := strings.Join(keys, ", ")
	return fmt.Sprintf("SELECT %s FROM %s WHERE (%s) > (%s) ORDER BY %s LIMIT ?",
		strings.Join(columns, ", "), t.from, list, marks(len(keys)), list)
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// cell scans a value of any kind as it travels.
type cell struct{ to *any }

// Scan implements sql.Scanner.
func (c cell) Scan(src any) error {
	switch v := src.(type) {
	case nil, int64, string:
		*c.to = v
	case bool:
		*c.to = int64(0)
		if v {
			*c.to = int64(1)
		}
	case []byte:
		*c.to = append([]byte{}, v...)
	default:
		return fmt.Errorf("a value is stored as %T", src)
	}
	return nil
}

// rowID is the row id for the Cipher of a row's values.
func (t *archivedTable) rowID(row []any) string {
	word := func(column string) string {
		if t.name == "steps" && column == "o.id" {
			column = "operation_id"
		}
		return fmt.Sprint(row[t.index(column[strings.Index(column, ".")+1:])])
	}
	var keys, names []string
	for _, k := range t.sealed.keys {
		keys = append(keys, word(k))
	}
	for _, n := range t.sealed.names {
		names = append(names, word(n))
	}
	return t.sealed.row(keys, names)
}

// open opens the sealed values of a row in place.
func (t *archivedTable) open(c Cipher, row []any) error {
	if t.sealed == nil {
		return nil
	}
	o := opener{cipher: c, table: t.name, row: t.rowID(row)}
	for _, column := range t.sealed.blobs {
		i := t.index(column)
		if sealed, ok := row[i].([]byte); ok {
			row[i] = o.bytes(column, sealed)
		}
	}
	for _, column := range t.sealed.texts {
		i := t.index(column)
		text, ok := row[i].(string)
		if !ok {
			return fmt.Errorf("%s.%s is not a text", t.name, column)
		}
		row[i] = o.text(column, text)
	}
	if o.err != nil {
		return core.Errorf(core.CodeFailed, "A value in the store cannot be decrypted: it is damaged, or was put there by somebody else.").WithCause(o.err)
	}
	return nil
}

// seal is the opposite of open.
func (t *archivedTable) seal(c Cipher, row []any) error {
	if t.sealed == nil {
		return nil
	}
	s := sealer{cipher: c, table: t.name, row: t.rowID(row)}
	for _, column := range t.sealed.blobs {
		i := t.index(column)
		if plain, ok := row[i].([]byte); ok {
			row[i] = s.bytes(column, plain)
		}
	}
	for _, column := range t.sealed.texts {
		i := t.index(column)
		text, ok := row[i].(string)
		if !ok {
			return damaged(fmt.Errorf("%s.%s is not a text", t.name, column))
		}
		row[i] = s.text(column, text)
	}
	return s.err
}
