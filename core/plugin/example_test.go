package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chandler-broker/chandler/core/plugin"
)

// files is a whole plugin: an instance is a directory, a binding is a file with a password.
type files struct{ dir string }

func (f files) path(id string) string { return filepath.Join(f.dir, fmt.Sprintf("%x", id)) }

func (f files) Provision(_ context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	return plugin.Done(nil), os.MkdirAll(f.path(req.InstanceID), 0o700)
}

func (f files) Update(context.Context, *plugin.InstanceRequest) (plugin.Result, error) {
	return plugin.Result{}, plugin.Failed("A directory has nothing that could be changed.").UpdateRepeatable(false)
}

func (f files) Deprovision(_ context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	return plugin.Done(nil), os.RemoveAll(f.path(req.InstanceID))
}

func (f files) Bind(_ context.Context, req *plugin.BindingRequest) (plugin.Result, error) {
	var in struct {
		Owner string `json:"owner"`
	}
	if err := req.Inputs.Decode(&in); err != nil {
		return plugin.Result{}, err
	}
	password := req.Secret("password", 24) // the same whenever this operation's call is repeated
	path := filepath.Join(f.path(req.InstanceID), fmt.Sprintf("%x", req.BindingID))
	return plugin.Done(map[string]string{"path": path, "password": password}), os.WriteFile(path, []byte(password), 0o600)
}

func (f files) Unbind(_ context.Context, req *plugin.BindingRequest) (plugin.Result, error) {
	err := os.Remove(filepath.Join(f.path(req.InstanceID), fmt.Sprintf("%x", req.BindingID)))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return plugin.Done(nil), err
}

// A blocking, synchronous plugin: five methods and a description.
func ExampleServe() {
	main := func() {
		plugin.Serve(plugin.ServeConfig{
			Description: plugin.Description{
				Name:           "files",
				Version:        "1.0.0",
				BindInputs:     []byte(`{"type": "object", "properties": {"owner": {"type": "string"}}, "additionalProperties": false}`),
				BindingOutputs: []byte(`{"type": "object", "properties": {"path": {"type": "string"}, "password": {"type": "string", "writeOnly": true}}}`),
			},
			Plugin: files{dir: "/srv/files"},
		})
	}
	_ = main
}

// Requests can be made by hand, so that a method is tested without a broker.
func Example_unitTest() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	p := files{dir}
	ctx := context.Background()
	if _, err := p.Provision(ctx, &plugin.InstanceRequest{InstanceID: "i"}); err != nil {
		panic(err)
	}
	bind := &plugin.BindingRequest{InstanceID: "i", BindingID: "b", Inputs: plugin.JSON(`{"owner": "me"}`), Seed: make([]byte, 32)}
	first, err := p.Bind(ctx, bind)
	if err != nil {
		panic(err)
	}
	second, _ := p.Bind(ctx, bind)
	fmt.Println("the same again:", string(first.Outputs().Raw()) == string(second.Outputs().Raw()))

	bind.Inputs = plugin.JSON(`{"onwer": "me"}`)
	_, err = p.Bind(ctx, bind)
	fmt.Println(err)
	// Output:
	// the same again: true
	// invalid_input: /onwer: The inputs hold "onwer", which is not known here.
}

// Long work ends a call with a handle, and is looked at again in the next.
func ExamplePending() {
	jobs := map[string]int{} // what a backend would know
	provision := func(_ context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
		var job struct{ Name string }
		if err := req.Handle.Decode(&job); err != nil {
			return plugin.Result{}, err
		}
		if job.Name == "" { // first call, or the handle was lost: the name derives from the id
			job.Name = "job-" + req.InstanceID
		}
		if jobs[job.Name]++; jobs[job.Name] < 3 {
			return plugin.Pending(job, 5*time.Second, "The cluster is being made."), nil
		}
		return plugin.Done(map[string]string{"job": job.Name}), nil
	}
	req := &plugin.InstanceRequest{InstanceID: "i"}
	for {
		r, err := provision(context.Background(), req)
		if err != nil {
			panic(err)
		}
		if !r.IsPending() {
			fmt.Println(string(r.Outputs().Raw()))
			return
		}
		fmt.Println("pending:", string(r.Handle().Raw()))
		req.Handle = r.Handle()
	}
	// Output:
	// pending: {"Name":"job-i"}
	// pending: {"Name":"job-i"}
	// {"job":"job-i"}
}

// Errors say what the user can do; what only operators may see is apart.
func ExampleConflict() {
	err := plugin.Conflict("The bucket %q holds objects; empty it first.", "photos").
		WithCause(errors.New("BucketNotEmpty (status 409, request 7F3A)"))
	fmt.Println("user:", err.Message)
	fmt.Println("operator:", err.Detail)
	// Output:
	// user: The bucket "photos" holds objects; empty it first.
	// operator: BucketNotEmpty (status 409, request 7F3A)
}

// Checker and Configurer are optional.
type configured struct {
	files
}

// Configure tells a wrong configuration from a backend that is down.
func (c *configured) Configure(_ context.Context, req *plugin.ConfigureRequest) error {
	var config struct {
		Directory string `json:"directory"`
	}
	if err := req.Config.Decode(&config); err != nil {
		return err
	}
	if !strings.HasPrefix(config.Directory, "/") {
		return plugin.InvalidInput("/directory", "The directory must be an absolute path.")
	}
	if _, err := os.Stat(config.Directory); err != nil {
		return plugin.Unavailable(0, "The directory is not mounted.").WithCause(err)
	}
	c.dir = config.Directory
	return nil
}

// Check refuses the deprovision of a directory that is not empty.
func (c *configured) Check(_ context.Context, req *plugin.InstanceRequest) error {
	entries, err := os.ReadDir(c.path(req.InstanceID))
	if err == nil && len(entries) > 0 {
		return plugin.Conflict("The directory is not empty.")
	}
	return nil
}

func ExampleConfigurer() {
	var p plugin.Plugin = &configured{}
	_, takesConfiguration := p.(plugin.Configurer)
	_, checks := p.(plugin.Checker)
	fmt.Println(takesConfiguration, checks)
	// Output: true true
}
