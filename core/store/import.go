package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/tink-crypto/tink-go/v2/streamingaead"

	"github.com/chandler-broker/chandler/core"
)

const (
	importRows  = 500     // in one transaction, at most
	importBytes = 4 << 20 // of values, about
	clearRows   = 2000
)

// ImportConfig says how an archive is read.
type ImportConfig struct {
	Masters []MasterKey // one of them opens the archive
	// ID names this import; nobody else's may have the same.
	ID  string
	Now time.Time
	// Leases of the store, where it has any: no broker may live.
	Leases core.Leases
	// Progress is told how many rows of a table are written; nil: nobody is.
	Progress func(table string, rows int64)
}

// Import reads what Export wrote into an empty store, or into one in which an import was
// interrupted, and gives how many rows each table got. Values are sealed by the store's own
// Cipher. Until it has ended, no broker starts on the store; afterwards its dispatcher is
// paused. It fails with a *core.Error if the store is not empty, a broker lives, or the
// archive is incomplete, damaged, sealed by another master key, or too new.
func Import(ctx context.Context, s core.Store, r io.Reader, config ImportConfig) (map[string]int64, error) {
	if config.Progress == nil {
		config.Progress = func(string, int64) {}
	}
	header, raw, err := readArchiveHeader(r)
	if err != nil {
		return nil, err
	}
	handle, err := header.unwrap(config.Masters)
	if err != nil {
		return nil, err
	}
	aead, err := streamingaead.New(handle)
	if err != nil {
		return nil, damaged(err)
	}
	stream, err := aead.NewDecryptingReader(r, raw)
	if err != nil {
		return nil, damaged(err)
	}
	records := bufio.NewReaderSize(stream, 64<<10)
	if _, err := records.Peek(1); err != nil { // before anything is begun
		return nil, damaged(err)
	}
	im := &importer{ctx: ctx, store: s, config: config, header: header, counts: map[string]int64{}}
	if err := im.begin(); err != nil {
		return nil, err
	}
	end, err := im.read(&decoder{r: records})
	if err != nil {
		return nil, err
	}
	if !maps.Equal(end, im.counts) {
		return nil, damaged(fmt.Errorf("its end speaks of %v rows, and %v came", end, im.counts))
	}
	return im.counts, im.end()
}

// importer fills a store.
type importer struct {
	ctx    context.Context
	store  core.Store
	config ImportConfig
	header ArchiveHeader
	counts map[string]int64

	table   *archivedTable
	columns []int // of the archive's columns, their place in the table
	rows    [][]any
	bytes   int
}

// update runs fn in a transaction of this import; another one that began later ends it.
func (im *importer) update(fn func(*tx) error) error {
	return im.store.Update(im.ctx, func(tx core.Tx) error {
		t, err := own(tx)
		if err != nil {
			return err
		}
		state, err := core.ReadDispatcher(t)
		if err != nil {
			return err
		}
		if state.Importing != im.config.ID {
			return core.Errorf(core.CodeConflict, "Another import into the store has begun.")
		}
		return fn(t)
	})
}

// begin marks the store and makes sure that it is empty.
func (im *importer) begin() error {
	var before core.DispatcherState
	err := im.store.Update(im.ctx, func(tx core.Tx) error {
		t, err := own(tx)
		if err != nil {
			return err
		}
		state, err := core.ReadDispatcher(t)
		if err != nil {
			return err
		}
		if before = state; before.Importing == "" {
			if err := t.empty(); err != nil {
				return err
			}
		}
		return core.WriteDispatcher(t, core.DispatcherState{Revision: state.Revision + 1, Paused: true, Importing: im.config.ID,
			Why: "an import was begun", Since: im.config.Now.UTC().Truncate(time.Microsecond)})
	})
	if err != nil {
		return err
	}
	if err := im.nobody(before); err != nil {
		return err
	}
	if before.Importing == "" {
		return nil
	}
	return im.clear()
}

// nobody refuses the import while a broker works on the store; the state is as before then.
func (im *importer) nobody(before core.DispatcherState) error {
	if im.config.Leases == nil {
		return nil
	}
	replicas, err := im.config.Leases.Replicas(im.ctx)
	if err == nil && len(replicas) == 0 {
		return nil
	}
	if err == nil {
		err = core.Errorf(core.CodeConflict, "The broker %s works on the store.", replicas[0].Name).
			WithHint("Stop every broker first; one that was killed is forgotten after some seconds.")
	}
	undo := im.update(func(t *tx) error { return core.WriteDispatcher(t, before) })
	return errors.Join(err, undo)
}

// empty refuses a store that has been used. Small documents such as the last catalog do not count.
func (t *tx) empty() error {
	for i := range archivedTables {
		table := &archivedTables[i]
		if table.name == "documents" {
			continue
		}
		var n int64
		err := t.row("look for rows", false, []any{&n}, "SELECT count(*) FROM (SELECT 1 FROM "+table.name+" LIMIT 1) AS head")
		if err != nil {
			return err
		}
		if n > 0 {
			return core.Errorf(core.CodeConflict, "The store is not empty (%s).", table.name).
				WithHint("Import into a new store: another state directory, or another database.")
		}
	}
	return nil
}

// clear takes away what an interrupted import left, last tables first.
func (im *importer) clear() error {
	for i := len(archivedTables) - 1; i >= 0; i-- {
		table := &archivedTables[i]
		keys := strings.Join(table.keys, ", ")
		where, args := "", []any{}
		if table.name == "documents" {
			where, args = " WHERE key NOT IN (?, ?)", []any{core.KeysDocument, core.DispatcherDocument}
		}
		query := fmt.Sprintf("DELETE FROM %s WHERE (%s) IN (SELECT %s FROM %s%s ORDER BY %s LIMIT ?)", table.name, keys, keys, table.name, where, keys)
		for more := true; more; {
			err := im.update(func(t *tx) error {
				n, err := t.exec("clear "+table.name, query, append(args, clearRows)...)
				more = n == clearRows
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// read reads all records and gives the last one.
func (im *importer) read(d *decoder) (end map[string]int64, err error) {
	seen := 0
	for {
		rec, err := d.next()
		switch {
		case err != nil:
			return nil, damaged(err)
		case rec.end != nil:
			return rec.end, im.flush()
		case rec.row != nil:
			err = im.add(rec.row)
		default:
			if err = im.flush(); err == nil {
				seen, err = im.choose(rec, seen)
			}
		}
		if err != nil {
			return nil, err
		}
	}
}

// choose begins a table; they come in their order. Columns that this program does not know are of a newer one.
func (im *importer) choose(rec archiveRecord, seen int) (int, error) {
	for seen < len(archivedTables) && archivedTables[seen].name != rec.table {
		seen++
	}
	if seen == len(archivedTables) {
		return seen, newerArchive(fmt.Errorf("it has the table %q", rec.table), im.header)
	}
	im.table, im.columns = &archivedTables[seen], nil
	found := map[string]bool{}
	for _, c := range rec.columns {
		i := im.table.index(c)
		if i < 0 || found[c] {
			return seen, newerArchive(fmt.Errorf("the table %s has the column %q", rec.table, c), im.header)
		}
		found[c] = true
		im.columns = append(im.columns, i)
	}
	for _, c := range im.table.columns { // a later version that adds one says what stands for it
		if !found[c.name] {
			return seen, damaged(fmt.Errorf("the table %s lacks the column %q", rec.table, c.name))
		}
	}
	im.counts[im.table.name] = 0
	return seen + 1, nil
}

// add takes a row and writes what has come together now and then.
func (im *importer) add(values []any) error {
	if im.table == nil || len(values) != len(im.columns) {
		return damaged(errors.New("a row does not fit its table"))
	}
	row := make([]any, len(im.table.columns))
	for i, v := range values {
		row[im.columns[i]] = v
		switch v := v.(type) {
		case string:
			im.bytes += len(v)
		case []byte:
			im.bytes += len(v)
		}
	}
	if im.table.name == "documents" && ownDocument(row[0]) {
		return damaged(errors.New("it has a document of its source's own"))
	}
	if i := im.table.index("holder"); i >= 0 {
		row[i] = "" // of a lease at the source
	}
	im.rows = append(im.rows, row)
	if len(im.rows) >= importRows || im.bytes >= importBytes {
		return im.flush()
	}
	return nil
}

// flush writes the rows that have come together.
func (im *importer) flush() error {
	if len(im.rows) == 0 {
		return nil
	}
	err := im.update(func(t *tx) error {
		query := im.table.insert(t)
		for i, row := range im.rows {
			args, err := im.table.args(t.cipher, row)
			if err != nil {
				return err
			}
			if err := t.insertArchived(im.table.name, i < len(im.rows)-1, query, args); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, core.ErrBusy) || errors.Is(err, core.ErrNotFound) {
		err = damaged(err)
	}
	if err != nil {
		return err
	}
	im.counts[im.table.name] += int64(len(im.rows))
	im.rows, im.bytes = nil, 0
	im.config.Progress(im.table.name, im.counts[im.table.name])
	return nil
}

// insertArchived inserts a row, together with the next statement if more come and the
// database is behind a network.
func (t *tx) insertArchived(table string, more bool, query string, args []any) error {
	if c, ok := t.s.(*pgConn); ok && more {
		if err := t.usable(true); err != nil {
			return err
		}
		c.queued = append(c.queued, statement{translated(query), sendable(args)})
		return nil
	}
	_, err := t.exec("import "+table, query, args...)
	return err
}

// insert is the statement for a row.
func (at *archivedTable) insert(t *tx) string {
	var columns []string
	for _, c := range at.columns {
		if !c.foreign {
			columns = append(columns, `"`+c.name+`"`)
		}
	}
	own, conflict := "", ""
	if _, postgres := t.s.(*pgConn); postgres && at.number {
		own = " OVERRIDING SYSTEM VALUE"
	}
	if at.name == "documents" {
		conflict = " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
	}
	return fmt.Sprintf("INSERT INTO %s (%s)%s VALUES (%s)%s", at.name, strings.Join(columns, ", "), own, marks(len(columns)), conflict)
}

// args are the sealed values of a row as the database takes them. The row is not changed: a transaction may run again.
func (at *archivedTable) args(c Cipher, row []any) ([]any, error) {
	sealed := append([]any{}, row...)
	if err := at.seal(c, sealed); err != nil {
		return nil, err
	}
	var args []any
	for i, column := range at.columns {
		switch v := sealed[i].(type) {
		case int64:
			if column.bool {
				args = append(args, v != 0)
				continue
			}
		}
		if !column.foreign {
			args = append(args, sealed[i])
		}
	}
	return args, nil
}

// end lets the database's own numbers go on behind the imported ones, and takes the mark away.
func (im *importer) end() error {
	return im.update(func(t *tx) error {
		if _, postgres := t.s.(*pgConn); postgres {
			for i := range archivedTables {
				table := &archivedTables[i]
				if !table.number {
					continue
				}
				query := fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%s', 'seq'), greatest(max(seq), 1), max(seq) IS NOT NULL) FROM %s", table.name, table.name)
				if err := t.rows("number "+table.name, true, func(rows) error { return nil }, query); err != nil {
					return err
				}
			}
		}
		state, err := core.ReadDispatcher(t)
		if err != nil {
			return err
		}
		state.Importing, state.Why = "", "imported"
		return core.WriteDispatcher(t, state)
	})
}
