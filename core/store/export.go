package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tink-crypto/tink-go/v2/streamingaead"

	"github.com/chandler-broker/chandler/core"
)

// exportRows is how many rows are in memory at once.
const exportRows = 64

// ExportConfig says how an export is made.
type ExportConfig struct {
	Master  MasterKey // seals the export
	Program string    // version of this program
	Now     time.Time
	// Progress is told how many rows of a table are written; nil: nobody is.
	Progress func(table string, rows int64)
}

// Master is the first master key: the one that seals exports.
func (k *Keyring) Master() MasterKey { return k.masters[0] }

// Export writes everything that the store has, in one consistent state, as an encrypted
// archive which Import reads into a store of either kind. Memory does not grow with the
// store. An error of w is returned as it is; what was written then is no archive.
func Export(ctx context.Context, s core.Store, w io.Writer, config ExportConfig) error {
	if config.Master.aead == nil {
		return core.Errorf(core.CodeInvalid, "An export needs a master key.").WithHint("Make one with chandler keys create.")
	}
	if config.Progress == nil {
		config.Progress = func(string, int64) {}
	}
	return s.View(ctx, func(tx core.Tx) error {
		t, err := own(tx)
		if err != nil {
			return err
		}
		if err := t.patient(); err != nil {
			return err
		}
		return export(t, w, config)
	})
}

// patient lets a transaction wait for whoever reads the export.
func (t *tx) patient() error {
	if t.s.serial() {
		return nil
	}
	for _, name := range []string{"statement_timeout", "idle_in_transaction_session_timeout"} {
		if err := t.rows("set "+name, false, func(rows) error { return nil }, "SELECT set_config('"+name+"', '0', true)"); err != nil {
			return err
		}
	}
	return nil
}

func export(t *tx, w io.Writer, config ExportConfig) error {
	header, handle, err := newArchiveHeader(config.Master, config.Program, config.Now)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(header)
	if err != nil {
		return err
	}
	begin := binary.BigEndian.AppendUint32([]byte(archiveMark), uint32(len(raw)))
	if _, err := w.Write(append(begin, raw...)); err != nil {
		return err
	}
	aead, err := streamingaead.New(handle)
	if err != nil {
		return fmt.Errorf("encrypt the export: %w", err)
	}
	stream, err := aead.NewEncryptingWriter(w, raw)
	if err != nil {
		return fmt.Errorf("encrypt the export: %w", err)
	}
	e := &encoder{w: bufio.NewWriterSize(stream, 64<<10)}
	counts := map[string]int64{}
	for i := range archivedTables {
		table := &archivedTables[i]
		if counts[table.name], err = table.export(t, e, config.Progress); err != nil {
			return fmt.Errorf("export %s: %w", table.name, err)
		}
	}
	if err := e.end(counts); err != nil {
		return err
	}
	return stream.Close()
}

// ownDocument tells whether a document is of the store itself and does not move: its keys, and whether it is paused.
func ownDocument(key any) bool { return key == core.KeysDocument || key == core.DispatcherDocument }

func (at *archivedTable) export(t *tx, e *encoder, progress func(string, int64)) (n int64, err error) {
	e.table(at.name, at.names())
	after := at.first()
	for {
		page, err := at.read(t, after)
		if err != nil {
			return n, err
		}
		for _, row := range page {
			if at.name == "documents" && ownDocument(row[0]) {
				continue
			}
			if err := at.open(t.cipher, row); err != nil {
				return n, err
			}
			if err := e.row(row); err != nil {
				return n, err
			}
			n++
		}
		progress(at.name, n)
		if len(page) < exportRows {
			return n, e.err
		}
		after = at.after(page)
	}
}

// first is a key before all others.
func (at *archivedTable) first() []any {
	keys := make([]any, len(at.keys))
	for i := range keys {
		keys[i] = ""
		if at.number || at.name == "steps" {
			keys[i] = int64(-1)
		}
	}
	return keys
}

// after is the key of a page's last row.
func (at *archivedTable) after(page [][]any) []any {
	keys := make([]any, len(at.keys))
	for i, k := range at.keys {
		keys[i] = page[len(page)-1][at.index(k)]
	}
	return keys
}

// read gives the rows behind a key.
func (at *archivedTable) read(t *tx, after []any) (page [][]any, err error) {
	err = t.rows("export "+at.name, false, func(r rows) error {
		row := make([]any, len(at.columns))
		dest := make([]any, len(row))
		for i := range row {
			dest[i] = cell{&row[i]}
		}
		page = append(page, row)
		return r.Scan(dest...)
	}, at.page(), append(slices.Clone(after), exportRows)...)
	return page, err
}
