package main

import (
	"os"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

const (
	// memoryTarget is what Go's memory stays under as long as most of it is not in use, so
	// that a burst of requests does not double the process. With what is not Go's (the
	// program itself, SQLite's cache), a broker with 10,000 pending operations stays under 256 MiB.
	memoryTarget = 128 << 20
	// memoryEvery is how often the limit follows what is in use.
	memoryEvery = time.Second
)

// limitMemory sets Go's soft memory limit to memoryTarget, or to 7/5 of what is in use
// where that is more: a limit close to what is in use would leave the processor to the
// garbage collector. GOMEMLIMIT and GOGC, where they are set, hold instead.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" || os.Getenv("GOGC") != "" {
		return
	}
	used := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	runtimemetrics.Read(used)
	sum := int64(0)
	for _, s := range used {
		if s.Value.Kind() == runtimemetrics.KindUint64 {
			sum += int64(s.Value.Uint64())
		}
	}
	debug.SetMemoryLimit(max(memoryTarget, sum/5*7))
}
