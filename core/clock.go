package core

import (
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"time"
)

// clock gives times, ids and random values from what Config injects.
type clock struct {
	now    func() time.Time
	random io.Reader

	mu      sync.Mutex
	last    int64 // milliseconds of the newest id
	counter uint16
}

// Now is the time as the store keeps it: UTC, to the microsecond.
func (c *clock) Now() time.Time { return c.now().UTC().Truncate(time.Microsecond) }

// bytes gives n random bytes.
func (c *clock) bytes(n int) ([]byte, error) {
	buf := make([]byte, n)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := io.ReadFull(c.random, buf); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	return buf, nil
}

// operationID makes a UUID version 7: ids of one broker sort in the order in which
// they were made, and nobody can guess one.
func (c *clock) operationID() (string, error) {
	random, err := c.bytes(8)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ms := c.now().UnixMilli(); ms > c.last {
		c.last, c.counter = ms, 0
	} else if c.counter++; c.counter > 0xfff {
		c.last, c.counter = c.last+1, 0
	}
	var id [16]byte
	for i := range 6 {
		id[i] = byte(c.last >> (8 * (5 - i)))
	}
	id[6], id[7] = 0x70|byte(c.counter>>8), byte(c.counter)
	copy(id[8:], random)
	id[8] = id[8]&0x3f | 0x80
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
}
