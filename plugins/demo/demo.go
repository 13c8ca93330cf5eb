package main

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"strconv"

	"github.com/chandler-broker/chandler/core/plugin"
)

// demo serves one backend: a directory and the port that serves it.
type demo struct {
	store *store
	data  *dataService // nil before Configure
	// address is where the key-value service listens: host and port.
	address address
}

var (
	_ plugin.Plugin     = (*demo)(nil)
	_ plugin.Configurer = (*demo)(nil)
	_ plugin.Checker    = (*demo)(nil)
)

// Configure opens the directory and starts the key-value service.
func (d *demo) Configure(ctx context.Context, req *plugin.ConfigureRequest) error {
	var config struct {
		Directory string `json:"directory"`
		Listen    string `json:"listen"`
		Sync      *bool  `json:"sync"`
	}
	if err := req.Config.Decode(&config); err != nil {
		return err
	}
	if config.Directory == "" {
		config.Directory = req.DataDirectory
	}
	if config.Directory == "" {
		return plugin.InvalidInput("/directory", "The broker gave no data directory, so one must be configured.")
	}
	store, err := openStore(config.Directory)
	if err != nil {
		return plugin.Unavailable(0, "The directory cannot be used.").WithCause(err)
	}
	d.close()
	d.store, d.data = store, newDataService(store)
	d.address, err = d.data.listen(ctx, config.Listen)
	return err
}

// close ends the key-value service; else it ends with the process.
func (d *demo) close() { d.data.close() }

// instanceOutputs are the outputs of Provision and Update.
type instanceOutputs struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Database string `json:"database"`
	URI      string `json:"uri"`
}

func (d *demo) instanceOutputs(id string) instanceOutputs {
	uri := url.URL{Scheme: "http", Host: d.address.String(), Path: "/" + key(id) + "/"}
	return instanceOutputs{Host: d.address.host, Port: d.address.port, Database: key(id), URI: uri.String()}
}

// Provision writes the record as creating if it takes several steps, and in the end as ready.
func (d *demo) Provision(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	var in instanceInputs
	if err := req.Inputs.Decode(&in); err != nil {
		return plugin.Result{}, err
	}
	w := d.work("provision", req.OperationID, in.behaviour, req.Handle, req.Progress)
	return w.run(ctx,
		func() error {
			if in.Steps == 0 { // ready at once
				return nil
			}
			return d.putInstance(req, in, stateCreating)
		},
		func() (plugin.Result, error) {
			err := d.putInstance(req, in, stateReady)
			return plugin.Done(d.instanceOutputs(req.InstanceID)), err
		})
}

// Update writes the record's inputs when all steps are over.
func (d *demo) Update(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	var in instanceInputs
	if err := req.Inputs.Decode(&in); err != nil {
		return plugin.Result{}, err
	}
	w := d.work("update", req.OperationID, in.behaviour, req.Handle, req.Progress)
	return w.run(ctx,
		func() error { return d.mustExist(req.InstanceID) },
		func() (plugin.Result, error) {
			err := d.putInstance(req, in, stateReady)
			return plugin.Done(d.instanceOutputs(req.InstanceID)), err
		})
}

// putInstance brings the record to the inputs and the state; a ready one stays ready.
func (d *demo) putInstance(req *plugin.InstanceRequest, in instanceInputs, state string) error {
	return d.store.locked(func(t *turn) error {
		r, err := t.read(key(req.InstanceID))
		if err != nil {
			return err
		}
		if err := checkName(t, in.Name, req.InstanceID); err != nil {
			return err
		}
		if r == nil {
			r = &record{
				InstanceID: req.InstanceID,
				State:      state,
				Created:    mark{req.OperationID, req.Fence},
				Bindings:   map[string]bindingRecord{},
				Data:       map[string]string{},
			}
		}
		if err := checkFence(r, req.Fence); err != nil {
			return err
		}
		if len(r.Data) > in.size() {
			return plugin.InvalidInput("/size", "The instance holds %d keys, so its size cannot be %d.", len(r.Data), in.size())
		}
		if r.State != stateReady {
			r.State = state
		}
		r.Inputs, r.Name, r.Fence = req.Inputs.Raw(), in.Name, req.Fence
		return t.write(r)
	})
}

// size is how many keys an instance may hold.
func (in instanceInputs) size() int {
	if in.Size == 0 {
		return 1000
	}
	return in.Size
}

// checkName refuses the name of another instance.
func checkName(t *turn, name, instanceID string) error {
	if name == "" {
		return nil
	}
	holder, err := t.named(name)
	if err != nil || holder == nil || holder.InstanceID == instanceID {
		return err
	}
	return plugin.Conflict("The name %q is taken by another instance; choose another one.", name)
}

// checkFence keeps a call that was overtaken from undoing what came after it.
func checkFence(r *record, fence int64) error {
	if fence >= r.Fence {
		return nil
	}
	return plugin.Failed("A later call has changed this already.").
		WithDetail("the call's fence is %d, the record's %d", fence, r.Fence)
}

func (d *demo) mustExist(instanceID string) error {
	r, err := d.store.read(key(instanceID))
	if err == nil && r == nil {
		return vanished()
	}
	return err
}

func vanished() error {
	return plugin.Failed("The instance does not exist at the backend any more.").InstanceUsable(false)
}

// Check says whether Deprovision would be refused.
func (d *demo) Check(_ context.Context, req *plugin.InstanceRequest) error {
	var in instanceInputs
	if err := req.Inputs.Decode(&in); err != nil {
		return err
	}
	r, err := d.store.read(key(req.InstanceID))
	if err != nil || r == nil {
		return err
	}
	return checkEmpty(r, in)
}

func checkEmpty(r *record, in instanceInputs) error {
	if in.OnDelete != "refuse" || len(r.Data) == 0 {
		return nil
	}
	return plugin.Conflict("The instance still holds %d keys; remove them first.", len(r.Data))
}

// Deprovision removes the record, with keys and bindings.
func (d *demo) Deprovision(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	var in instanceInputs
	if err := req.Inputs.Decode(&in); err != nil {
		return plugin.Result{}, err
	}
	w := d.work("deprovision", req.OperationID, in.behaviour, req.Handle, req.Progress)
	return w.run(ctx,
		func() error { return d.Check(ctx, req) },
		func() (plugin.Result, error) {
			return plugin.Done(nil), d.store.locked(func(t *turn) error {
				r, err := t.read(key(req.InstanceID))
				if err != nil || r == nil {
					return err
				}
				if err := checkEmpty(r, in); err != nil {
					return err
				}
				if err := checkFence(r, req.Fence); err != nil {
					return err
				}
				t.remove(d.store.path(key(req.InstanceID)))
				return nil
			})
		})
}

func orObject(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage(`{}`)
	}
	return raw
}

// address is a host and a port.
type address struct {
	host string
	port int
}

func (a address) String() string { return net.JoinHostPort(a.host, strconv.Itoa(a.port)) }
