package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

func exit() { runtime.Goexit() }

// together runs fn in n goroutines that start at the same moment and waits for them.
func together(n int, fn func(i int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

func number(tx core.Tx, key string) (int, error) {
	b, err := tx.Get(key)
	if errors.Is(err, core.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(b))
}

func (c *suite) concurrency(t *testing.T) {
	ctx := context.Background()
	t.Run("no increment is lost", func(t *testing.T) {
		s := c.open(t)
		const goroutines, each = 32, 20
		together(goroutines, func(int) {
			for range each {
				err := s.Update(ctx, func(tx core.Tx) error {
					n, err := number(tx, "n")
					if err != nil {
						return err
					}
					return tx.Put("n", []byte(strconv.Itoa(n+1)))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
		same(t, "n", strconv.Itoa(goroutines*each), get(t, s, "n"))
	})
	t.Run("failures take nothing of their neighbours with them", func(t *testing.T) {
		s := c.open(t)
		refused := errors.New("refused")
		together(60, func(i int) {
			defer func() { recover() }()
			err := s.Update(ctx, func(tx core.Tx) error {
				if err := tx.Put(fmt.Sprint("k", i), nil); err != nil {
					return err
				}
				switch i % 3 {
				case 1:
					return refused
				case 2:
					panic("defect")
				}
				return nil
			})
			if want := map[int]error{1: refused}[i%3]; err != want {
				t.Errorf("Update %d: %v, want %v", i, err, want)
			}
		})
		for i := range 60 {
			err := readErr(s, func(tx core.Tx) ([]byte, error) { return tx.Get(fmt.Sprint("k", i)) })
			if kept := err == nil; kept != (i%3 == 0) {
				t.Errorf("k%d: %v", i, err)
			}
		}
	})
	t.Run("write skew does not occur", func(t *testing.T) {
		// Each of two doctors may go off call while the other is on. Snapshot
		// isolation would let both go at once.
		s := c.open(t)
		for round := range 30 {
			update(t, s, func(tx core.Tx) error { return all(tx, put("on0", "1"), put("on1", "1")) })
			together(2, func(i int) {
				err := s.Update(ctx, func(tx core.Tx) error {
					other, err := number(tx, fmt.Sprint("on", 1-i))
					if err != nil || other == 0 {
						return err
					}
					return tx.Put(fmt.Sprint("on", i), []byte("0"))
				})
				if err != nil {
					t.Error(err)
				}
			})
			if get(t, s, "on0")+get(t, s, "on1") == "00" {
				t.Fatalf("round %d: both went", round)
			}
		}
	})
	t.Run("views keep an invariant that every update keeps", func(t *testing.T) {
		s := c.open(t)
		update(t, s, func(tx core.Tx) error { return all(tx, put("x", "100"), put("y", "0")) })
		move := func(tx core.Tx) error {
			x, err := number(tx, "x")
			if err != nil {
				return err
			}
			return all(tx, put("x", strconv.Itoa(x-1)), put("y", strconv.Itoa(101-x)))
		}
		together(8, func(i int) {
			for range 12 {
				if i < 4 {
					update(t, s, move)
					continue
				}
				sum := read(t, s, func(tx core.Tx) (int, error) {
					x, err := number(tx, "x")
					if err != nil {
						return 0, err
					}
					runtime.Gosched()
					y, err := number(tx, "y")
					return x + y, err
				})
				if sum != 100 {
					t.Errorf("x + y = %d, want 100", sum)
				}
			}
		})
	})
	t.Run("one of many gets the pending operation", func(t *testing.T) {
		s := c.open(t)
		update(t, s, putInstance(&core.Instance{ID: "i"}))
		var mu sync.Mutex
		var won, busy int
		together(24, func(i int) {
			err := s.Update(ctx, insert(operation(fmt.Sprint("o", i), "i", "", core.OperationPending)))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case errors.Is(err, core.ErrBusy):
				busy++
			default:
				t.Error(err)
			}
		})
		same(t, "winners and refused", [2]int{1, 23}, [2]int{won, busy})
		same(t, "unfinished", 1, len(read(t, s, func(tx core.Tx) ([]*core.Operation, error) { return tx.Unfinished("i") })))
	})
	t.Run("fences are given once", func(t *testing.T) {
		s := c.open(t)
		var mu sync.Mutex
		seen := map[int64]bool{}
		together(40, func(int) {
			var fence int64
			err := s.Update(ctx, func(tx core.Tx) (err error) { fence, err = tx.NextFence("i"); return err })
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[fence] || fence < 1 || fence > 40 {
				t.Errorf("fence %d, seen %v, error %v", fence, seen[fence], err)
			}
			seen[fence] = true
		})
	})
}
