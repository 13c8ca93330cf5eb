package pluginhost

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

func TestSlotLimits(t *testing.T) {
	for _, c := range []struct {
		name, why       string
		plugin          int
		limits          Limits
		total, instance int
	}{
		{"none", "nobody says, but memory has its limits", 0, Limits{}, defaultConcurrency, defaultConcurrency * 3 / 4},
		{"the plugin's", "a quarter is kept for binds", 8, Limits{}, 8, 6},
		{"the lower one", "an operator may lower it", 8, Limits{MaxConcurrency: 4}, 4, 3},
		{"never higher", "a plugin knows what it takes", 2, Limits{MaxConcurrency: 100}, 2, 1},
		{"one", "nothing can be kept for anybody", 1, Limits{}, 1, 0},
		{"own instance limit", "without a total", 0, Limits{MaxInstanceCalls: 2}, defaultConcurrency, 2},
		{"higher than the default", "an operator may raise it", 0, Limits{MaxConcurrency: 1000}, 1000, 750},
		{"instance limit too high", "binds keep their place", 4, Limits{MaxInstanceCalls: 9}, 4, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSlots()
			s.resize(c.plugin, c.limits)
			if s.total != c.total || s.instance != c.instance {
				t.Errorf("total %d, instance %d; want %d, %d: %s", s.total, s.instance, c.total, c.instance, c.why)
			}
		})
	}
}

// TestSlotsUnderStress: no more than the limits at once, everybody gets in or is told, the end is noticed.
func TestSlotsUnderStress(t *testing.T) {
	s := newSlots()
	s.resize(4, Limits{})
	var mu sync.Mutex
	var now [2]int
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			kind := i % 2
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if i%5 == 0 {
				go cancel()
			}
			err := s.acquire(ctx, kind)
			if err != nil {
				if !errors.Is(err, errMoved) && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				return
			}
			mu.Lock()
			now[kind]++
			if now[0]+now[1] > 4 || now[kindInstance] > 3 {
				t.Errorf("running %v", now)
			}
			mu.Unlock()
			for range rand.IntN(100) {
				runtime.Gosched()
			}
			mu.Lock()
			now[kind]--
			mu.Unlock()
			if i == 150 {
				s.close()
			}
			s.release(kind)
		})
	}
	wg.Wait()
	s.close()
	<-s.idle
	if running, waiting := s.counts(); running+waiting != 0 {
		t.Errorf("running %d, waiting %d", running, waiting)
	}
	if err := s.acquire(context.Background(), 0); !errors.Is(err, errMoved) {
		t.Errorf("after close: %v", err)
	}
}
