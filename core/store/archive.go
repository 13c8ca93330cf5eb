package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/streamingaead"

	"github.com/chandler-broker/chandler/core"
)

// An archive is what an export writes: a mark, a header in the clear, and records in
// an encrypted stream (Tink's AES256-GCM-HKDF in segments of 1 MiB) under a fresh key
// that a master key wraps. The header is the stream's associated data. Records are:
//
//	T name n column…   the rows behind it are of this table and have these columns
//	R value…           a row
//	E json             the end: how many rows each table has
//
// Texts and bytes begin with their length. What was cut off has no end, and what was
// changed does not decrypt.
const (
	archiveMark   = "chandler export\n"
	archiveFormat = 1

	maxArchiveHeader  = 64 << 10
	maxArchiveColumns = 256
	maxArchiveName    = 256
	maxArchiveValue   = 256 << 20 // what a database can hold, and a careless length cannot exceed
)

// ArchiveHeader is what an export says about itself to anybody.
type ArchiveHeader struct {
	Format    int       `json:"format"`
	Program   string    `json:"program"` // version of the chandler that made it
	CreatedAt time.Time `json:"created_at"`
	Master    string    `json:"master"` // id of the master key that wraps the key
	Wrapped   []byte    `json:"wrapped"`
}

// newArchiveHeader makes a header with a fresh wrapped key.
func newArchiveHeader(master MasterKey, program string, now time.Time) (h ArchiveHeader, handle *keyset.Handle, err error) {
	if handle, err = keyset.NewHandle(streamingaead.AES256GCMHKDF1MBKeyTemplate()); err != nil {
		return h, nil, fmt.Errorf("make a key for the export: %w", err)
	}
	h = ArchiveHeader{Format: archiveFormat, Program: program, CreatedAt: now.UTC().Truncate(time.Second), Master: master.id}
	var wrapped bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&wrapped), master.aead, []byte(archiveMark)); err != nil {
		return h, nil, fmt.Errorf("wrap the key of the export: %w", err)
	}
	h.Wrapped = wrapped.Bytes()
	return h, handle, nil
}

// readArchiveHeader reads the mark and the header; raw is the associated data of what follows.
func readArchiveHeader(r io.Reader) (h ArchiveHeader, raw []byte, err error) {
	mark := make([]byte, len(archiveMark)+4)
	if _, err := io.ReadFull(r, mark); err != nil || string(mark[:len(archiveMark)]) != archiveMark {
		return h, nil, damaged(errors.Join(errors.New("it does not begin as an export does"), err))
	}
	size := binary.BigEndian.Uint32(mark[len(archiveMark):])
	if size > maxArchiveHeader {
		return h, nil, damaged(fmt.Errorf("its header has %d bytes", size))
	}
	raw = make([]byte, size)
	if _, err := io.ReadFull(r, raw); err != nil {
		return h, nil, damaged(err)
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return h, nil, damaged(err)
	}
	if h.Format != archiveFormat {
		return h, nil, newerArchive(fmt.Errorf("its format is %d", h.Format), h)
	}
	return h, raw, nil
}

// unwrap opens the key with whichever master key fits.
func (h ArchiveHeader) unwrap(masters []MasterKey) (*keyset.Handle, error) {
	var known []string
	for _, m := range masters {
		known = append(known, m.id)
		if m.id != h.Master {
			continue
		}
		handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(h.Wrapped)), m.aead, []byte(archiveMark))
		if err != nil {
			return nil, damaged(err)
		}
		return handle, nil
	}
	return nil, core.Errorf(core.CodeInvalid, "The export is sealed by the master key %s; known here is %s.", h.Master, known).
		WithHint("Give the file of the source's master key with --key-file.")
}

func damaged(err error) error {
	return core.Errorf(core.CodeInvalid, "The export cannot be read: it is incomplete, damaged, or something else.").
		WithHint("Make it again, or copy it again.").WithCause(err)
}

func newerArchive(err error, h ArchiveHeader) error {
	return core.Errorf(core.CodeInvalid, "The export was made by chandler %s and is not known to this one (%v).", h.Program, err).
		WithHint("Import it with that version or a newer one.").WithCause(err)
}

// encoder writes records.
type encoder struct {
	w       *bufio.Writer
	scratch []byte
	err     error
}

// The kinds of values.
const (
	valueNull  = 'n'
	valueInt   = 'i'
	valueText  = 't'
	valueBytes = 'b'
)

func (e *encoder) write(p []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(p)
	}
}

func (e *encoder) uint(n uint64) { e.write(binary.AppendUvarint(e.scratch[:0], n)) }

func (e *encoder) text(s string) {
	e.uint(uint64(len(s)))
	e.write([]byte(s))
}

func (e *encoder) table(name string, columns []string) {
	e.write([]byte{'T'})
	e.text(name)
	e.uint(uint64(len(columns)))
	for _, c := range columns {
		e.text(c)
	}
}

// row writes values: nil, int64, string or []byte.
func (e *encoder) row(values []any) error {
	e.write([]byte{'R'})
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			e.write([]byte{valueNull})
		case int64:
			e.write([]byte{valueInt})
			e.write(binary.AppendVarint(e.scratch[:0], v))
		case string:
			e.write([]byte{valueText})
			e.text(v)
		case []byte:
			e.write([]byte{valueBytes})
			e.uint(uint64(len(v)))
			e.write(v)
		default:
			return fmt.Errorf("a value is a %T", v)
		}
	}
	return e.err
}

func (e *encoder) end(counts map[string]int64) error {
	raw, err := json.Marshal(counts)
	if err != nil {
		return err
	}
	e.write([]byte{'E'})
	e.text(string(raw))
	if e.err == nil {
		e.err = e.w.Flush()
	}
	return e.err
}

// archiveRecord is one record: exactly one of its parts is set.
type archiveRecord struct {
	table   string // with columns
	columns []string
	row     []any
	end     map[string]int64
}

// decoder reads records. What it reads is not trusted.
type decoder struct {
	r       *bufio.Reader
	columns int // of the present table
}

func (d *decoder) next() (rec archiveRecord, err error) {
	kind, err := d.r.ReadByte()
	if err != nil {
		return rec, short(err)
	}
	switch kind {
	case 'T':
		return d.table()
	case 'R':
		if d.columns == 0 {
			return rec, errors.New("a row comes before its table")
		}
		rec.row = make([]any, d.columns)
		for i := range rec.row {
			if rec.row[i], err = d.value(); err != nil {
				return rec, err
			}
		}
		return rec, nil
	case 'E':
		raw, err := d.bytes(maxArchiveHeader)
		if err != nil {
			return rec, err
		}
		if err := json.Unmarshal(raw, &rec.end); err != nil || rec.end == nil {
			return rec, errors.Join(errors.New("its end cannot be read"), err)
		}
		if _, err := d.r.ReadByte(); err != io.EOF {
			return rec, errors.Join(errors.New("something follows its end"), err)
		}
		return rec, nil
	}
	return rec, fmt.Errorf("a record is of the kind %q", kind)
}

func (d *decoder) table() (rec archiveRecord, err error) {
	name, err := d.bytes(maxArchiveName)
	if err != nil {
		return rec, err
	}
	n, err := binary.ReadUvarint(d.r)
	if err != nil {
		return rec, short(err)
	}
	if n == 0 || n > maxArchiveColumns || len(name) == 0 {
		return rec, fmt.Errorf("the table %q has %d columns", name, n)
	}
	rec.table, rec.columns = string(name), make([]string, n)
	for i := range rec.columns {
		c, err := d.bytes(maxArchiveName)
		if err != nil {
			return rec, err
		}
		rec.columns[i] = string(c)
	}
	d.columns = int(n)
	return rec, nil
}

func (d *decoder) value() (any, error) {
	kind, err := d.r.ReadByte()
	if err != nil {
		return nil, short(err)
	}
	switch kind {
	case valueNull:
		return nil, nil
	case valueInt:
		n, err := binary.ReadVarint(d.r)
		return n, short(err)
	case valueText:
		b, err := d.bytes(maxArchiveValue)
		return string(b), err
	case valueBytes:
		return d.bytes(maxArchiveValue)
	}
	return nil, fmt.Errorf("a value is of the kind %q", kind)
}

// bytes reads a length and as many bytes; memory grows with what is there, not with what is said.
func (d *decoder) bytes(most uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(d.r)
	if err != nil {
		return nil, short(err)
	}
	if n > most {
		return nil, fmt.Errorf("a value has %d bytes", n)
	}
	if n <= 4096 {
		b := make([]byte, n)
		_, err := io.ReadFull(d.r, b)
		return b, short(err)
	}
	var buf bytes.Buffer
	if _, err := io.CopyN(&buf, d.r, int64(n)); err != nil {
		return nil, short(err)
	}
	return buf.Bytes(), nil
}

// short makes an end in the middle an error that says so.
func short(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
