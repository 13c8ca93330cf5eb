package store

import (
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"testing"
)

// SealedColumns are what a rewrap goes through, as table.column.
func SealedColumns() map[string]bool {
	got := map[string]bool{}
	for _, st := range sealedTables {
		for _, column := range append(append([]string{}, st.blobs...), st.texts...) {
			got[st.name+"."+column] = true
		}
	}
	return got
}

// counting counts what is sealed and opened.
type counting struct {
	Cipher
	sealed, opened atomic.Int64
}

func (c *counting) Seal(table, row, column string, plain []byte) ([]byte, error) {
	c.sealed.Add(1)
	return c.Cipher.Seal(table, row, column, plain)
}

func (c *counting) Open(table, row, column string, sealed []byte) ([]byte, error) {
	c.opened.Add(1)
	return c.Cipher.Open(table, row, column, sealed)
}

// BenchmarkEncryption compares what accepting and finishing a provision writes, with and without encryption.
func BenchmarkEncryption(b *testing.B) {
	text, err := NewMasterKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	master, err := ParseMasterKey(text)
	if err != nil {
		b.Fatal(err)
	}
	ring, err := NewKeyring(master)
	if err != nil {
		b.Fatal(err)
	}
	document, err := ring.Create(false)
	if err != nil {
		b.Fatal(err)
	}
	if err := ring.Load(document); err != nil {
		b.Fatal(err)
	}
	for name, cipher := range map[string]Cipher{"clear": nil, "encrypted": ring} {
		b.Run(name, func(b *testing.B) {
			count := &counting{Cipher: cipher}
			s := opened(b, func(c *SQLiteConfig) {
				if cipher != nil {
					c.Cipher = count
				}
			})
			b.ResetTimer()
			for n := range b.N {
				id := fmt.Sprintf("%08x", n*2654435761%(1<<32))
				if err := s.Update(b.Context(), accept(id)); err != nil {
					b.Fatal(err)
				}
				if err := s.Update(b.Context(), finish(id)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(count.sealed.Load())/float64(b.N), "seals/op")
			b.ReportMetric(float64(count.opened.Load())/float64(b.N), "opens/op")
		})
	}
}
