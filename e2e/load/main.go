package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings are what the command line says.
type settings struct {
	options
	scenarios        []string
	workers          int
	warmup, duration time.Duration
	rate             float64
	json             bool
	instances        int
	unfinished       int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 3 && os.Args[1] == bareCommand {
		if err := serveBare(ctx, os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		return
	}
	s := flags(os.Args[1:])
	r, err := s.run(ctx)
	if err == nil {
		err = r.print(os.Stdout, s.json)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	if r.failed() {
		os.Exit(1)
	}
}

// flags reads the command line; it ends the process if that is wrong.
func flags(args []string) settings {
	var s settings
	f := flag.NewFlagSet("load", flag.ExitOnError)
	f.StringVar(&s.bin, "bin", "bin", "`directory` with chandler and chandler-plugin-demo")
	f.StringVar(&s.catalogDir, "catalog", "catalog", "`directory` with demo.yaml")
	f.StringVar(&s.templatesDir, "templates", "templates", "`directory` of the catalog's templates")
	f.StringVar(&s.dir, "dir", "", "`directory` on the disk to measure (default: the system's for temporary files)")
	f.StringVar(&s.url, "url", "", "load the broker at this `URL` instead of starting one; its password is in LOAD_PASSWORD")
	f.StringVar(&s.user, "user", "", "`name` of the user at -url")
	f.BoolVar(&s.pluginSync, "plugin-sync", false, "let the demo plugin sync its own files, too; the broker always does")
	names := f.String("scenarios", strings.Join(scenarioNames(), ","), "what to run, in this order")
	f.IntVar(&s.workers, "workers", 64, "how many turns are under way at once")
	f.DurationVar(&s.warmup, "warmup", 3*time.Second, "before anything is measured")
	f.DurationVar(&s.duration, "duration", 15*time.Second, "of each measurement")
	f.Float64Var(&s.rate, "rate", 0, "turns per second of scenario cycle; 0 is as many as possible")
	f.IntVar(&s.instances, "instances", 100_000, "of scenario start")
	f.IntVar(&s.unfinished, "unfinished", 1000, "operations of scenario start")
	f.BoolVar(&s.json, "json", false, "print everything that was measured as JSON")
	_ = f.Parse(args) // ExitOnError
	s.password = os.Getenv("LOAD_PASSWORD")
	s.scenarios = strings.Split(*names, ",")
	for _, name := range s.scenarios {
		if !slices.Contains(scenarioNames(), name) {
			fmt.Fprintf(f.Output(), "there is no scenario %q; there are %s\n", name, strings.Join(scenarioNames(), ", "))
			os.Exit(2)
		}
	}
	if s.workers < 1 || s.duration <= 0 || s.warmup < 0 || s.rate < 0 || f.NArg() > 0 {
		fmt.Fprintln(f.Output(), "workers and duration must be positive, and there are no arguments")
		os.Exit(2)
	}
	return s
}

// scenario is one thing to measure.
type scenario struct {
	name string
	run  func(settings, context.Context, *report) error
}

var scenarios = []scenario{
	{"cycle", settings.cycle},
	{"half", settings.half},
	{"catalog", settings.catalog},
	{"start", settings.start},
}

func scenarioNames() (names []string) {
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// run runs the scenarios one after the other.
func (s settings) run(ctx context.Context) (*report, error) {
	r := newReport(s)
	for _, name := range s.scenarios {
		i := slices.IndexFunc(scenarios, func(sc scenario) bool { return sc.name == name })
		fmt.Fprintf(os.Stderr, "load: %s\n", name)
		if err := scenarios[i].run(s, ctx, r); err != nil {
			return nil, fmt.Errorf("scenario %s: %w", name, err)
		}
	}
	return r, nil
}

// indented writes v as JSON.
func indented(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }
