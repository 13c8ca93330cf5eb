// Command s3gateway is an S3 gateway for tests, for `make demo` and `make run`:
// VersityGW on a directory, with user accounts, in one process on loopback.
//
// It is a module of its own so that the broker's go.mod does not carry the
// gateway's dependencies. It knows nothing of the broker: it prints one line of
// JSON (type Ready) when it serves and ends on SIGINT or SIGTERM, when its standard
// input is closed, or when its parent is gone. So whoever starts it gives it a pipe as
// standard input and cannot leave it behind, whatever ends the starter itself.
//
//	S3GATEWAY_ACCESS_KEY=root S3GATEWAY_SECRET_KEY=… s3gateway -dir DIR [-port N] [-iam admin|standalone] [-tls]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Names of the environment variables with the keys of the gateway's root account.
// They do not begin with VGW_: the gateway's own code looks at such.
const (
	envAccessKey = "S3GATEWAY_ACCESS_KEY"
	envSecretKey = "S3GATEWAY_SECRET_KEY"
)

func main() {
	// Whatever the embedded gateway prints goes to standard error: the first and
	// only line of standard output is ours.
	out := os.Stdout
	os.Stdout = os.Stderr

	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go endWithStarter(os.Stdin, cancel)
		// Nor does a request that hangs keep the process.
		context.AfterFunc(ctx, func() { time.AfterFunc(10*time.Second, func() { os.Exit(1) }) })
		err = serve(ctx, o, func(r Ready) error { return json.NewEncoder(out).Encode(r) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "s3gateway:", err)
		os.Exit(1)
	}
}

// endWithStarter calls end when in is at its end or the process that started this
// one is gone. It runs until the process ends.
func endWithStarter(in io.Reader, end func()) {
	go func() {
		defer end()
		_, _ = io.Copy(io.Discard, in)
	}()
	parent := os.Getppid()
	for range time.Tick(time.Second) {
		if os.Getppid() != parent {
			end()
			return
		}
	}
}

// options are the command line and the keys.
type options struct {
	dir        string // absolute; holds everything the gateway keeps
	port       int    // 0: any free one
	secondPort int    // of the admin or IAM API; 0: any free one
	standalone bool   // accounts through the AWS-style IAM API instead of the admin API
	tls        bool
	region     string
	accessKey  string
	secretKey  string
}

func parse(args []string) (options, error) {
	var o options
	var iam string
	f := flag.NewFlagSet("s3gateway", flag.ContinueOnError)
	f.StringVar(&o.dir, "dir", "", "`directory` for buckets, versions and accounts; made if absent")
	f.IntVar(&o.port, "port", 0, "loopback `port` of the S3 API; 0 chooses a free one")
	f.IntVar(&o.secondPort, "second-port", 0, "loopback `port` of the admin or IAM API; 0 chooses a free one")
	f.StringVar(&iam, "iam", "admin", "how accounts are managed: admin (the gateway's admin API) or standalone (an AWS-style IAM API)")
	f.BoolVar(&o.tls, "tls", false, "serve TLS with a certificate of an own authority, kept in the directory")
	f.StringVar(&o.region, "region", "us-east-1", "`region` that clients must sign for")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.dir == "" {
		return o, errors.New("usage: s3gateway -dir DIRECTORY [-port N] [-iam admin|standalone] [-tls]")
	}
	switch iam {
	case "admin":
	case "standalone":
		o.standalone = true
	default:
		return o, fmt.Errorf("-iam is admin or standalone, not %q", iam)
	}
	o.accessKey, o.secretKey = os.Getenv(envAccessKey), os.Getenv(envSecretKey)
	if o.accessKey == "" || o.secretKey == "" {
		return o, fmt.Errorf("%s and %s must hold the keys of the root account", envAccessKey, envSecretKey)
	}
	// Neither is inherited by anything, nor shown in a later crash report.
	_, _ = os.Unsetenv(envAccessKey), os.Unsetenv(envSecretKey)
	return o, nil
}
