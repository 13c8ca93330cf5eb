package pluginhost_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core/plugin"
	"github.com/chandler-broker/chandler/core/pluginhost"
	"github.com/chandler-broker/chandler/core/pluginhost/testdata/echo"
)

// BenchmarkCall compares a plugin call with the same call in process. Its figures are of one run:
//
//	inprocess-ns/op  the author's method, called directly
//	bare-µs/call     a Health over the same connection: what gRPC, TLS and the switch between two processes take
//	over-µs/call     how much longer a call through the host takes
//	calls/s          through the host
//	cpu-µs/call      processor time of broker and plugin together; on an idle machine with n
//	                 processors n times 1e6/cpu is the limit of calls/s
func BenchmarkCall(b *testing.B) {
	bed := newBed(b, func(cfg *pluginhost.Config) { // as a broker that does not debug
		cfg.Log = slog.New(slog.NewJSONHandler(io.Discard, nil))
	})
	installSDK(b, bed.dir)
	bed.start()
	c := call("sdk", do{Text: "hello"})
	var seeds atomic.Uint64
	plugged := func() error {
		c := c // with a seed of its own, as every operation has
		seed := sha256.Sum256(binary.AppendUvarint(nil, seeds.Add(1)))
		c.Seed = seed[:]
		_, err := bed.host.Call(context.Background(), c, nil)
		return err
	}
	request := &plugin.InstanceRequest{InstanceID: "i-1", OperationID: "op-1", Inputs: plugin.JSON(string(c.Inputs)), Seed: c.Seed}
	inProcess := func() error {
		r, err := echo.Plugin{}.Provision(context.Background(), request)
		if err == nil && r.IsPending() {
			return errors.New("pending")
		}
		return err
	}
	ping := func() error { return bed.host.Ping(context.Background(), "sdk") }
	pid := bed.status("sdk").Pid
	for _, workers := range []int{1, 64} {
		b.Run(fmt.Sprintf("concurrency=%d", workers), func(b *testing.B) {
			spread(b, workers, 1000, plugged) // the connection, the stacks and the heap have grown
			const calls = 20000
			began := time.Now()
			spread(b, workers, calls, inProcess)
			base := float64(time.Since(began).Nanoseconds()) / calls
			began = time.Now()
			spread(b, workers, calls/4, ping)
			bare := float64(time.Since(began).Nanoseconds()) / (calls / 4)
			cpu := cpuTime(b, pid)
			b.ResetTimer()
			spread(b, workers, b.N, plugged)
			b.StopTimer()
			each := float64(b.Elapsed().Nanoseconds()) / float64(b.N) // of all workers together
			b.ReportMetric(base, "inprocess-ns/op")
			b.ReportMetric(bare*float64(workers)/1e3, "bare-µs/call")
			b.ReportMetric((each-base)*float64(workers)/1e3, "over-µs/call")
			b.ReportMetric(1e9/each, "calls/s")
			b.ReportMetric(float64((cpuTime(b, pid)-cpu).Microseconds())/float64(b.N), "cpu-µs/call")
		})
	}
}

// cpuTime is what this process and another one have used.
func cpuTime(b *testing.B, pid int) time.Duration {
	var own syscall.Rusage
	err1 := syscall.Getrusage(syscall.RUSAGE_SELF, &own)
	raw, err2 := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	var ticks int64 // of 10 ms: user and system
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(own.Utime.Nano() + own.Stime.Nano() + ticks*int64(10*time.Millisecond))
}

// spread makes n calls with that many workers.
func spread(b *testing.B, workers, n int, call func() error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
