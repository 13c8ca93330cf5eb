package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/chandler-broker/chandler/e2e/stack"
)

// walk is one pass through the main job.
type walk struct {
	ctx      context.Context
	bin, dir string
	gateway  *stack.Gateway
	broker   *stack.Broker
	step     int
}

const (
	service  = "gluster-s3-bucket"
	instance = "demo-photos"
	other    = "demo-other"
	binding  = "demo-app"
	reader   = "demo-reader"
)

// all runs every step; the first that fails ends the walk.
func (w *walk) all() error {
	for _, step := range []struct {
		title string
		run   func() error
	}{
		{"What does the broker offer?", w.marketplace},
		{"Provision a bucket (and another one, which is somebody else's)", w.provision},
		{"Bind: credentials of this application's own", w.bind},
		{"Write and read an object with exactly these credentials", w.use},
		{"The same credentials open nothing else", w.isolation},
		{"A read-only binding reads and cannot write", w.readOnly},
		{"Unbind: the credentials are dead", w.unbind},
		{"Deprovision: a bucket that is not empty is refused, an empty one goes", w.deprovision},
	} {
		w.step++
		fmt.Printf("\n== %d. %s\n", w.step, step.title)
		if err := step.run(); err != nil {
			return fmt.Errorf("step %d (%s): %w", w.step, step.title, err)
		}
	}
	fmt.Printf("\nEvery step did what it says.\n")
	return nil
}

// chandler runs the command line as a user would type it, shows it, and gives its standard output.
func (w *walk) chandler(args ...string) (string, error) {
	fmt.Printf("$ chandler %s\n", strings.Join(args, " "))
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(w.ctx, filepath.Join(w.bin, "chandler"), args...)
	cmd.Env = append(os.Environ(), w.broker.ClientEnv(false)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	fmt.Print(indent(errs.String()))
	return out.String(), err
}

// show runs the command line and prints what it says.
func (w *walk) show(args ...string) error {
	out, err := w.chandler(args...)
	fmt.Print(indent(out))
	return err
}

func indent(text string) string {
	if text == "" {
		return ""
	}
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ") + "\n"
}

func (w *walk) marketplace() error { return w.show("marketplace") }

func (w *walk) provision() error {
	return errors.Join(
		w.show("provision", service, "default", instance, "-p", "bucketName=photos"),
		w.show("provision", service, "default", other))
}

// bound asks for a binding and gives its credentials.
func (w *walk) bound(instance, binding string, args ...string) (cns, error) {
	out, err := w.chandler(append([]string{"bind", instance, binding, "-o", "json"}, args...)...)
	if err != nil {
		return cns{}, err
	}
	var answer struct {
		Credentials cns `json:"credentials"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return cns{}, fmt.Errorf("the answer to bind is not JSON: %w", err)
	}
	if c := answer.Credentials; c.Endpoint == "" || c.Name == "" || c.ID == "" || c.Password == "" {
		return cns{}, errors.New("the answer to bind lacks credentials")
	}
	return answer.Credentials, nil
}

func (w *walk) bind() error {
	c, err := w.bound(instance, binding)
	if err != nil {
		return err
	}
	fmt.Printf("    bucketEndpoint  %s\n    bucketName      %s\n    bucketID        %s\n    bucketPword     %s\n",
		c.Endpoint, c.Name, c.ID, strings.Repeat("*", len(c.Password)))
	if c.Name != "photos" {
		return fmt.Errorf("the bucket is called %q, not photos as asked", c.Name)
	}
	if c.ID == w.gateway.AccessKey {
		return errors.New("the binding got the gateway's own account")
	}
	return nil
}

// again fetches a binding's credentials once more: the same PUT gives the same answer.
func (w *walk) again(instance, binding string, args ...string) (*bucket, error) {
	c, err := w.bound(instance, binding, args...)
	if err != nil {
		return nil, err
	}
	return open(c, w.gateway.Region)
}

func (w *walk) use() error {
	b, err := w.again(instance, binding)
	if err != nil {
		return err
	}
	const text = "hello from the demo"
	if err := b.put(w.ctx, b.name, "greeting.txt", text); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	got, err := b.get(w.ctx, b.name, "greeting.txt")
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if got != text {
		return fmt.Errorf("read %q, wrote %q", got, text)
	}
	fmt.Printf("    wrote and read %s/greeting.txt: %q\n", b.name, got)
	return nil
}

func (w *walk) isolation() error {
	b, err := w.again(instance, binding)
	if err != nil {
		return err
	}
	neighbour, err := w.bound(other, "demo-neighbour")
	if err != nil {
		return err
	}
	if err := b.nothingIn(w.ctx, neighbour.Name); err != nil {
		return err
	}
	return w.show("unbind", other, "demo-neighbour")
}

func (w *walk) readOnly() error {
	b, err := w.again(instance, reader, "-p", "access=read-only")
	if err != nil {
		return err
	}
	if _, err := b.get(w.ctx, b.name, "greeting.txt"); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := refused(b.put(w.ctx, b.name, "intruder.txt", "x")); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	fmt.Printf("    read greeting.txt; writing was refused\n")
	return w.show("unbind", instance, reader)
}

func (w *walk) unbind() error {
	b, err := w.again(instance, binding)
	if err != nil {
		return err
	}
	if err := w.show("unbind", instance, binding); err != nil {
		return err
	}
	_, err = b.get(w.ctx, b.name, "greeting.txt")
	if err := refused(err); err != nil {
		return fmt.Errorf("read after unbind: %w", err)
	}
	fmt.Printf("    reading with the old credentials was refused\n")
	return nil
}

func (w *walk) deprovision() error {
	if err := w.show("deprovision", instance); err == nil {
		return errors.New("a bucket with an object in it was deleted")
	}
	fmt.Printf("    the plan says onDelete: refuse, so the object was safe; the gateway's owner empties the bucket\n")
	owner, err := open(cns{Endpoint: strings.TrimPrefix(w.gateway.Endpoint, "http://"), Name: "photos",
		ID: w.gateway.AccessKey, Password: w.gateway.SecretKey}, w.gateway.Region)
	if err != nil {
		return err
	}
	if err := owner.remove(w.ctx, "photos", "greeting.txt"); err != nil {
		return err
	}
	if err := errors.Join(w.show("deprovision", instance), w.show("deprovision", other)); err != nil {
		return err
	}
	left, err := owner.buckets(w.ctx)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("buckets are left at the gateway: %s", strings.Join(left, ", "))
	}
	fmt.Printf("    no bucket is left at the gateway\n")
	return nil
}
