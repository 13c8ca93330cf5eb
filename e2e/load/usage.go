package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// usage is processor time, in microseconds (or what is computed from it), by process.
type usage map[string]float64

func (u usage) minus(before usage) usage {
	d := usage{}
	for name, v := range u {
		d[name] = v - before[name]
	}
	return d
}

func (u usage) per(n float64) usage {
	d := usage{}
	for name, v := range u {
		d[name] = v / n
	}
	return d
}

// share is which part of all processors' time in d it is.
func (u usage) share(d time.Duration) usage {
	return u.per(float64(d.Microseconds()) * float64(runtime.NumCPU()))
}

func (u usage) sum() (total float64) {
	for _, v := range u {
		total += v
	}
	return total
}

// meter reads, from /proc, the processor time of this process, of the broker and of the
// broker's children, the plugins. Where there is no /proc it gives nothing.
func meter(broker int) usage {
	u := usage{}
	processes, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return u
	}
	for _, file := range processes {
		p, err := readStat(file)
		switch {
		case err != nil: // it ended meanwhile
		case p.pid == os.Getpid():
			u["load"] += p.cpu
		case p.pid == broker:
			u["broker"] += p.cpu
		case p.parent == broker && broker != 0:
			u["plugins"] += p.cpu
		}
	}
	return u
}

type stat struct {
	pid, parent int
	cpu         float64 // microseconds
}

// readStat reads /proc/<pid>/stat (proc(5)): pid, (name), state, parent, …, utime and
// stime, in ticks of a hundredth of a second, as the 14th and the 15th field.
func readStat(file string) (s stat, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	head, tail, _ := strings.Cut(string(raw), " (")
	fields := strings.Fields(tail[strings.LastIndexByte(tail, ')')+1:]) // the name may hold anything
	if len(fields) < 13 {
		return s, fmt.Errorf("%s: too few fields", file)
	}
	const ticks = 1e4 // microseconds: USER_HZ is 100 on Linux
	for _, f := range []struct {
		text string
		to   *int
	}{{head, &s.pid}, {fields[1], &s.parent}} {
		if *f.to, err = strconv.Atoi(f.text); err != nil {
			return s, fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, text := range fields[11:13] {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return s, fmt.Errorf("%s: %w", file, err)
		}
		s.cpu += n * ticks
	}
	return s, nil
}
