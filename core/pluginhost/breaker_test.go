package pluginhost

import (
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	timing := Timing{BackoffMin: time.Second, BackoffMax: 4 * time.Second, BreakerFailures: 4, BreakerWindow: time.Minute, BreakerOpen: 30 * time.Second}
	now := time.Unix(1e9, 0)
	between := func(d, low, high time.Duration) {
		t.Helper()
		if d < low || d > high {
			t.Errorf("wait of %s; want %s to %s", d, low, high)
		}
	}
	b := breaker{timing: timing}
	for _, want := range []time.Duration{1, 2, 4} {
		b.failed(now)
		between(b.next.Sub(now), want*time.Second*8/10, want*time.Second*12/10)
	}
	if b.open {
		t.Error("open after three failures")
	}
	b.failed(now)
	if !b.open || b.next.Sub(now) != 30*time.Second {
		t.Errorf("not open after four: %+v", b)
	}
	now = b.next
	b.started() // the probe
	if b.open {
		t.Error("open while the probe serves")
	}
	b.failed(now)
	if !b.open || b.next.Sub(now) != time.Minute {
		t.Errorf("the probe's end opens it again, for longer: %+v", b)
	}
	b.started()
	b.stable()
	b.failed(now)
	if b.open {
		t.Error("a stable run is not forgotten")
	}
	b = breaker{timing: timing}
	for range 10 { // slower than the window
		b.failed(now)
		now = now.Add(timing.BreakerWindow / 3)
	}
	if b.open {
		t.Error("rare failures open it")
	}
}
