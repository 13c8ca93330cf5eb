package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"

	"github.com/chandler-broker/chandler/core/plugin"
)

// bindingOutputs are the outputs of Bind.
type bindingOutputs struct {
	URI      string `json:"uri"`
	Username string `json:"username"`
	Password string `json:"password"`
	Access   string `json:"access"`
}

// Bind writes a password's hash. A repeat of the operation derives the same password;
// another operation for the same binding replaces it.
func (d *demo) Bind(ctx context.Context, req *plugin.BindingRequest) (plugin.Result, error) {
	var in bindInputs
	if err := req.Inputs.Decode(&in); err != nil {
		return plugin.Result{}, err
	}
	if in.Access == "" {
		in.Access = "read-write"
	}
	out := bindingOutputs{Username: "u" + key(req.BindingID)[:16], Password: req.Secret("password", 32), Access: in.Access}
	uri := url.URL{Scheme: "http", User: url.UserPassword(out.Username, out.Password),
		Host: d.address.String(), Path: "/" + key(req.InstanceID) + "/"}
	out.URI = uri.String()
	w := d.work("bind", req.OperationID, withInstanceFaults(in.behaviour, req), req.Handle, req.Progress)
	return w.run(ctx,
		func() error { return d.mustExist(req.InstanceID) },
		func() (plugin.Result, error) { return plugin.Done(out), d.putBinding(req, out) })
}

func (d *demo) putBinding(req *plugin.BindingRequest, out bindingOutputs) error {
	return d.store.locked(func(t *turn) error {
		r, err := t.read(key(req.InstanceID))
		if err == nil && r == nil {
			err = vanished()
		}
		if err != nil {
			return err
		}
		b := bindingRecord{
			Username:       out.Username,
			PasswordSHA256: hash(out.Password),
			Access:         out.Access,
			Created:        mark{req.OperationID, req.Fence},
		}
		if old, ok := r.Bindings[req.BindingID]; ok && old.Created.Fence > req.Fence {
			return plugin.Failed("A later call has changed this already.").
				WithDetail("the call's fence is %d, the binding's %d", req.Fence, old.Created.Fence)
		}
		r.Bindings[req.BindingID] = b
		r.Fence = max(r.Fence, req.Fence)
		return t.write(r)
	})
}

// Unbind removes the binding's entry.
func (d *demo) Unbind(ctx context.Context, req *plugin.BindingRequest) (plugin.Result, error) {
	var in bindInputs
	if err := req.Inputs.Decode(&in); err != nil {
		return plugin.Result{}, err
	}
	w := d.work("unbind", req.OperationID, withInstanceFaults(in.behaviour, req), req.Handle, req.Progress)
	return w.run(ctx,
		func() error { return nil },
		func() (plugin.Result, error) {
			return plugin.Done(nil), d.store.locked(func(t *turn) error {
				r, err := t.read(key(req.InstanceID))
				if err != nil || r == nil {
					return err
				}
				if _, ok := r.Bindings[req.BindingID]; !ok {
					return nil
				}
				delete(r.Bindings, req.BindingID)
				r.Fence = max(r.Fence, req.Fence)
				return t.write(r)
			})
		})
}

// withInstanceFaults adds the failures that the instance's inputs inject into binds and unbinds.
func withInstanceFaults(b behaviour, req *plugin.BindingRequest) behaviour {
	var instance instanceInputs
	if err := json.Unmarshal(orObject(req.Instance.Inputs.Raw()), &instance); err == nil {
		b.Fail = append(b.Fail, instance.Fail...)
	}
	return b
}

func hash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}
