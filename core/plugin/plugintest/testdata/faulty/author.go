package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/chandler-broker/chandler/core/plugin"
)

// author keeps an instance as a directory: a file of its own for every object that was
// made for it, and one for every binding, which holds fence and password.
type author struct {
	dir  string
	busy sync.Mutex
}

type inputs struct {
	Size   *int   `json:"size"`
	Access string `json:"access"`
}

// check is what a schema would do.
func (in inputs) check(binding bool) error {
	if fault == "inputs-no-pointer" && !binding && in.Size == nil {
		return plugin.InvalidInput("", "size is missing")
	}
	if !binding && in.Size == nil {
		return plugin.InvalidInput("/size", "size is missing")
	}
	if binding && in.Access != "" && in.Access != "ro" && in.Access != "rw" {
		return plugin.InvalidInput("/access", "access must be ro or rw")
	}
	return nil
}

func decode(d plugin.Document, binding bool) error {
	if fault == "inputs-unchecked" {
		return nil
	}
	var in inputs
	if err := d.Decode(&in); err != nil {
		if fault == "inputs-failed" {
			return plugin.Failed("cannot read that")
		}
		return err
	}
	return in.check(binding)
}

func (a *author) Configure(_ context.Context, req *plugin.ConfigureRequest) error {
	a.dir = os.Getenv("FAULTY_DIR") // where the test looks
	var c struct {
		Token string `json:"token"`
	}
	err := req.Config.Decode(&c)
	switch {
	case fault == "logs-config":
		fmt.Fprintln(os.Stderr, "configured with "+c.Token)
	case fault == "config-unchecked":
		return nil
	case fault == "config-unavailable" && err != nil:
		return plugin.Unavailable(0, "later, perhaps")
	}
	return err
}

func key(id string) string {
	if fault == "id-as-path" {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:8])
}

func (a *author) instance(id string) string { return filepath.Join(a.dir, key(id)) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func random() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func (a *author) Provision(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	if err := decode(req.Inputs, false); err != nil {
		return plugin.Result{}, err
	}
	if v := req.Applied.Version; fault == "own-outputs-only" && !req.Applied.Outputs.Empty() && v != "1.0.0" {
		return plugin.Result{}, plugin.Failed("cannot read outputs of version %q", v)
	}
	dir := a.instance(req.InstanceID)
	out := map[string]any{"database": key(req.InstanceID)}
	object := "object"
	switch fault {
	case "twice":
		object += random()
	case "outputs-differ":
		out["database"] = random()
	case "undeclared-output":
		out["surprise"] = 1
	case "outputs-against-schema":
		out["database"] = 1
	case "one-at-a-time":
		if !a.busy.TryLock() {
			return plugin.Result{}, plugin.Failed("busy")
		}
		defer a.busy.Unlock()
		wait(ctx, 50*time.Millisecond)
	case "ignores-cancel":
		wait(context.WithoutCancel(ctx), 2*time.Second)
	case "cancel-for-ever":
		if req.Handle.Empty() && exists(dir+".cancelled") {
			return plugin.Result{}, plugin.Failed("it was cancelled")
		}
		if wait(ctx, 50*time.Millisecond); ctx.Err() != nil {
			return plugin.Result{}, errors.Join(ctx.Err(), write(dir+".cancelled", ""))
		}
	case "needs-handle":
		if req.Handle.Empty() {
			if exists(filepath.Join(dir, object)) {
				return plugin.Result{}, plugin.Conflict("it exists")
			}
			return plugin.Pending("made", 0, ""), write(filepath.Join(dir, object), "")
		}
	case "not-resumable", "half-stays":
		half := filepath.Join(dir, "half")
		if exists(half) && fault == "not-resumable" {
			return plugin.Result{}, plugin.Conflict("somebody else began this")
		}
		if err := write(half, ""); err != nil {
			return plugin.Result{}, err
		}
		wait(ctx, 50*time.Millisecond)
		if err := os.Remove(half); err != nil {
			return plugin.Result{}, err
		}
	}
	if err := write(filepath.Join(dir, "id"), req.InstanceID); err != nil { // for List
		return plugin.Result{}, err
	}
	return plugin.Done(out), write(filepath.Join(dir, object), "")
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (a *author) Update(_ context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	if err := decode(req.Inputs, false); err != nil {
		return plugin.Result{}, err
	}
	out := map[string]any{"database": key(req.InstanceID)}
	if fault == "update-differs" {
		out["database"] = random()
	}
	if fault == "update-once" && len(req.Attempted) > 0 {
		return plugin.Result{}, plugin.Conflict("there was an attempt")
	}
	return plugin.Done(out), nil
}

func (a *author) Check(_ context.Context, req *plugin.InstanceRequest) error {
	if fault == "check-deletes" {
		return os.RemoveAll(a.instance(req.InstanceID))
	}
	return nil
}

func (a *author) Deprovision(_ context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	dir := a.instance(req.InstanceID)
	switch {
	case fault == "deprovision-strict" && strings.Contains(string(req.Inputs.Raw()), "unknown"):
		return plugin.Result{}, plugin.InvalidInput("", "no such input")
	case fault == "deprovision-nothing":
		return plugin.Done(nil), nil
	case fault == "unknown-fails" && !exists(dir):
		return plugin.Result{}, plugin.NotFound("no such instance")
	case fault == "half-stays" && exists(filepath.Join(dir, "half")):
		return plugin.Done(nil), nil
	}
	return plugin.Done(nil), os.RemoveAll(dir)
}

type credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Fence    int64  `json:"fence,omitempty"`
}

func (a *author) Bind(_ context.Context, req *plugin.BindingRequest) (plugin.Result, error) {
	if err := decode(req.Inputs, true); err != nil {
		return plugin.Result{}, err
	}
	if !exists(a.instance(req.InstanceID)) {
		return plugin.Result{}, plugin.Failed("no such instance")
	}
	path := filepath.Join(a.instance(req.InstanceID), "binding-"+key(req.BindingID))
	c := credentials{Username: "u", Password: req.Secret("password", 20), Fence: req.Fence}
	switch fault {
	case "password-in-log":
		fmt.Fprintln(os.Stderr, "made", c.Password)
	case "password-in-output":
		fmt.Println("made", c.Password)
	case "password-in-progress":
		c.Password = random()
		req.Progress("made "+c.Password, -1)
	case "random-password": // and what was given before goes on living
		c.Password = random()
		path += "-" + c.Password
	case "shared-password":
		c.Password = "always the same"
	}
	var old credentials
	if raw, err := os.ReadFile(path); err == nil && fault != "ignores-fence" {
		if err := json.Unmarshal(raw, &old); err != nil {
			return plugin.Result{}, err
		}
		if old.Fence > req.Fence {
			return plugin.Result{}, plugin.Failed("overtaken")
		}
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return plugin.Result{}, err
	}
	c.Fence = 0
	return plugin.Done(c), write(path, string(raw))
}

func (a *author) Unbind(_ context.Context, req *plugin.BindingRequest) (plugin.Result, error) {
	dir := a.instance(req.InstanceID)
	path := filepath.Join(dir, "binding-"+key(req.BindingID))
	switch {
	case fault == "unbind-nothing":
		return plugin.Done(nil), nil
	case fault == "unbind-fails-again" && !exists(path) && exists(dir):
		return plugin.Result{}, plugin.Failed("no such binding")
	}
	all, err := filepath.Glob(filepath.Join(dir, "binding-*"))
	if err != nil {
		return plugin.Result{}, err
	}
	for _, p := range all {
		if fault != "unbind-all" && !strings.HasPrefix(p, path) {
			continue
		}
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return plugin.Result{}, err
		}
	}
	return plugin.Done(nil), nil
}

// write is atomic: a rename.
func write(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temporary := path + ".tmp" + random()
	if err := os.WriteFile(temporary, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
