package pluginhost

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/chandler-broker/chandler/core"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

func itoa(n int) string { return strconv.Itoa(n) }

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

func TestMasker(t *testing.T) {
	m := newMasker([]string{"fixed", "ab"})
	m.add("abc", "abcdef", `with "quotes"`, "line one\nline two", "overlap", "lapping")
	for _, c := range []struct{ in, want, why string }{
		{"fixed and abcdef and abc", "••• and ••• and •••", "the longer one first, so that nothing of it stays"},
		{`{"k":"with \"quotes\""}`, `{"k":"•••"}`, "as JSON writes it"},
		{"line two", "•••", "each line of a secret of several"},
		{"ab", "ab", "too short to be masked"},
		{"an overlapping word", "an ••• word", "where secrets overlap, nothing of either stays"},
		{"abcabcx", "••••••x", "side by side they are two"},
		{"/?p=with+%22quotes%22", "/?p=•••", "in a query"},
		{"/with%20%22quotes%22", "/•••", "in a path"},
		{"log in as " + base64.StdEncoding.EncodeToString([]byte(`user:with "quotes"`)), "log in as dXNlcjp•••", "in basic authentication"},
		{"0x" + hex.EncodeToString([]byte(`with "quotes"`)), "0x•••", "in hexadecimal"},
	} {
		if got := m.mask(c.in); got != c.want {
			t.Errorf("%q → %q; want %q: %s", c.in, got, c.want, c.why)
		}
	}
	running := m.hold("of a running call", "of both")
	ended := m.hold("of both")
	m.release(ended)
	for i := range rememberedSecrets {
		m.add(fmt.Sprintf("secret-%08d", i)) // all with the same beginning
	}
	last := fmt.Sprintf("secret-%08d", rememberedSecrets-1)
	text := "fixed, " + last + ", abcdef, of a running call, of both"
	if got := m.mask(text); got != "•••, •••, abcdef, •••, •••" {
		t.Errorf("after many calls: %q", got)
	}
	m.release(running)
	if got := m.mask(text); got != "•••, •••, abcdef, •••, •••" {
		t.Errorf("a plugin may log late: %q", got)
	}
	for i := range rememberedSecrets {
		m.add(fmt.Sprintf("a much longer secret-%08d", i))
	}
	if got := m.mask(text); got != "•••, "+last+", abcdef, of a running call, of both" {
		t.Errorf("long after: %q", got)
	}
	const fixed, spellings = 8, 8 // at most, of one secret
	if n := len(m.known); n > rememberedSecrets+fixed || len(m.all) > fixed+spellings {
		t.Errorf("%d secrets of %d lengths are kept", n, len(m.all))
	}
}

func TestHandshakeIsChecked(t *testing.T) {
	cert := strings.Repeat("A", 60)
	for _, c := range []struct {
		name, why     string
		mtls          bool
		line          string
		network, addr string
		ok            bool
	}{
		{"own socket", "the normal case", true, "1|1|unix|/s/p|grpc|" + cert, "unix", "/s/dir/p", true},
		{"another's socket", "it could be anybody's", true, "", "unix", "/run/docker.sock", false},
		{"outside by dots", "a path is cleaned first", true, "", "unix", "/s/dir/../x", false},
		{"loopback with mTLS", "languages without unix sockets", true, "", "tcp", "127.0.0.1:80", true},
		{"loopback without mTLS", "every user of the machine could speak to it", false, "", "tcp", "127.0.0.1:80", false},
		{"another machine", "a plugin is a process here", true, "", "tcp", "10.0.0.1:80", false},
		{"unknown network", "there is no such", true, "", "udp", "127.0.0.1:80", false},
	} {
		child := &child{mtls: c.mtls, socketDir: "/s/dir"}
		if _, _, err := child.PluginToHost(c.network, c.addr); (err == nil) != c.ok {
			t.Errorf("%s: %v: %s", c.name, err, c.why)
		}
	}
	if got := (&child{}).checkedHandshake("1|1|unix|/s/p|grpc|" + cert); got != "1|1|unix|/s/p|grpc|" {
		t.Errorf("a certificate that nobody asked for makes go-plugin panic: %s", got)
	}
	if line := "1|1|unix|/s/p|grpc|" + cert; (&child{mtls: true}).checkedHandshake(line) != line {
		t.Error("the certificate is gone")
	}
}

// FuzzEvent: whatever a plugin sends, its translation keeps the contract or is an error.
func FuzzEvent(f *testing.F) {
	add := func(e *pluginpb.Event) {
		raw, err := proto.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, uint8(0))
		f.Add(raw, uint8(2))
	}
	percent := uint32(400)
	add(&pluginpb.Event{})
	add(&pluginpb.Event{Event: &pluginpb.Event_Progress{Progress: &pluginpb.Progress{Text: "50\x00 %", Percent: &percent}}})
	add(&pluginpb.Event{Event: &pluginpb.Event_Pending{Pending: &pluginpb.Pending{Handle: []byte("h"), RetryAfter: &durationpb.Duration{Seconds: -1 << 62, Nanos: 5}}}})
	for _, outputs := range []string{``, `{}`, `{"a":1e999}`, `[`, `{"a":1}{`, "\xff", ` {"a":"\ud800"} `, `null`} {
		add(&pluginpb.Event{Event: &pluginpb.Event_Done{Done: &pluginpb.Done{Outputs: []byte(outputs), Labels: []byte(outputs), Left: []string{"a bucket"}, DashboardUrl: "https://x"}}})
	}
	add(&pluginpb.Event{Event: &pluginpb.Event_Error{Error: &pluginpb.Error{Code: 77, Message: strings.Repeat("é", 20), Pointer: "/a"}}})
	f.Fuzz(func(t *testing.T, raw []byte, verb uint8) {
		var e pluginpb.Event
		if proto.Unmarshal(raw, &e) != nil {
			return
		}
		if p := progressOf(&e); p != nil {
			if p.Percent < -1 || p.Percent > 100 || len(p.Text) > maxText+3 || !utf8.ValidString(p.Text) {
				t.Errorf("progress %+v", p)
			}
			return
		}
		checkOutcome(t, core.Verbs[int(verb)%len(core.Verbs)], outcomeOf(core.Verbs[int(verb)%len(core.Verbs)], &e))
	})
}

func checkOutcome(t *testing.T, verb core.Verb, out outcome) {
	t.Helper()
	if e := out.err; e != nil {
		if e.Message == "" || !e.Backend || len(e.Message) > maxText+3 || !utf8.ValidString(e.Error()) || e.RetryAfter < 0 || e.RetryAfter > maxRetryAfter {
			t.Errorf("error %+v", e)
		}
		switch e.Code {
		case core.CodeInvalid, core.CodeConflict, core.CodeNotFound, core.CodeUnavailable, core.CodeFailed:
		default:
			t.Errorf("code %s", e.Code)
		}
		if diff := cmp.Diff(core.Result{}, out.result); diff != "" {
			t.Errorf("an error with a result: %s", diff)
		}
		return
	}
	if p := out.result.Pending; p != nil {
		if len(p.Handle) > MaxJSON || p.RetryAfter < 0 || p.RetryAfter > maxRetryAfter {
			t.Errorf("pending %+v", p)
		}
		return
	}
	hasOutputs := verb != core.VerbDeprovision && verb != core.VerbUnbind
	if hasOutputs != (out.result.Outputs != nil) {
		t.Errorf("%s with outputs %q", verb, out.result.Outputs)
	}
	if hasOutputs {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(out.result.Outputs, &m); err != nil || m == nil || len(out.result.Outputs) > MaxJSON {
			t.Errorf("outputs %q: %v", out.result.Outputs, err)
		}
	}
	for _, m := range []map[string]any{out.result.Labels, out.result.Attributes} {
		if _, err := core.CanonicalJSON(m); err != nil {
			t.Error(err)
		}
	}
	if len(out.result.Left) > maxLeft+1 {
		t.Errorf("%d left", len(out.result.Left))
	}
}
