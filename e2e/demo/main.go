// Command demo walks Chandler's main job in front of the user: it starts an S3
// gateway and the broker with the shipped catalog on temporary directories, asks for
// a bucket with the command line, uses the credentials, proves that they open
// nothing else and are dead after unbind, and takes everything away again. Its exit
// status is 0 only if every step did what it says. With -serve it keeps the set-up in
// the foreground for playing.
//
// It uses the executables only, as a user would, and must not know the broker's packages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/chandler-broker/chandler/e2e/stack"
)

func main() {
	bin := flag.String("bin", "bin", "directory with chandler, the plugins and s3gateway")
	serve := flag.Bool("serve", false, "keep the set-up in the foreground instead of walking through it")
	port := flag.Int("port", 8080, "with -serve: port of the broker")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *serve, *port); err != nil && !(*serve && ctx.Err() != nil) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, serve bool, port int) (err error) {
	if bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "chandler-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	gatewayLog, err := os.Create(filepath.Join(dir, "gateway.log"))
	if err != nil {
		return err
	}
	defer gatewayLog.Close()
	gateway, err := stack.StartGateway(ctx, bin, filepath.Join(dir, "gateway"), gatewayLog)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gateway.Stop(10*time.Second)) }()

	options := stack.BrokerOptions{Bin: bin, Dir: filepath.Join(dir, "broker"), Gateway: gateway}
	if options.Catalog, err = filepath.Abs("catalog"); err != nil {
		return err
	}
	if options.Templates, err = filepath.Abs("templates"); err != nil {
		return err
	}
	if serve {
		options.Open, options.Port, options.Log = true, port, os.Stderr
		options.Config = "log: {format: text}\n"
	}
	broker, err := stack.StartBroker(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Stop(30*time.Second)) }()
	if serve {
		return play(ctx, broker)
	}
	w := walk{ctx: ctx, bin: bin, dir: dir, gateway: gateway, broker: broker}
	return w.all()
}

// play says how to use the running broker and waits until it is interrupted.
func play(ctx context.Context, broker *stack.Broker) error {
	fmt.Printf(`
The broker serves %s, with the catalog of ./catalog and no authentication.
In another terminal, for example:

    bin/chandler marketplace
    bin/chandler provision gluster-s3-bucket default my-bucket
    bin/chandler bind my-bucket
    bin/chandler catalog status

Edit a file in ./catalog: the change shows in the marketplace at once. Ctrl-c ends everything.

`, broker.URL)
	return broker.Wait(ctx)
}
