// Command chandler-plugin-gluster-s3 is the plugin for buckets on an S3 gateway over
// GlusterFS, or on any other S3 gateway. An instance is a bucket, a binding is a pair
// of keys for it. It knows S3 and nothing of catalogs, platforms or applications.
//
// # Whose bucket is it?
//
// Bucket names are the user's choice, so a name may be a stranger's, and an adopted
// stranger's bucket would one day be purged. So a bucket is only touched if something
// proves that it is the instance's (ownership.go). There are three proofs: a mark,
// that is two tags with the hash of the instance's id and the fence of the call that
// made the bucket; outputs that the broker stored; a handle that the broker stored.
//
// Provision looks the name up and returns a handle "absent" if it is free. The next
// call looks again and creates. Where the gateway takes tags in CreateBucket (AWS,
// VersityGW; Configure finds out with a bucket of its own), the bucket is marked from
// its first moment on, so there is nothing between creation and mark to be killed in:
//
//   - killed before the create arrives: the next call finds the name free and creates;
//   - killed after it, before or after the answer: the next call finds its mark;
//   - a stranger creates between look-up and create: the create fails (or, as on AWS in
//     us-east-1 and on Ceph, succeeds on the account's own existing bucket); either way
//     the tags are read afterwards, our mark is missing, the name is taken;
//   - the gateway's answer is lost: the operation is tried again; 409 or not, the tags decide.
//
// Elsewhere (Swift's s3api has no tags, older gateways ignore them in CreateBucket)
// the answer to the create is all there is. It is stored as a handle, "created" or
// "taken", before anything else happens, and the create is sent once, never repeated
// by the SDK, so that 409 cannot be the echo of our own. What is left is a kill
// between the create and the storing of its answer. Then the bucket counts as likely
// ours if a call of this instance ran in between (fences tell), it is in the broker's
// account and not older than the handle, and it has neither tags nor content. Such a
// bucket is completed by Provision and deleted by Deprovision while it is empty, and
// never purged: so even if a stranger with the broker's own keys made it in that very
// moment, no data is lost.
//
// A bucket whose mark is gone is no longer the instance's, even if the store says so:
// it was made anew by somebody else, or somebody took it over. onDelete: retain
// removes the mark for that reason, so that no later instance finds it its own.
//
// # Keys
//
// See accounts.go: each call of Bind makes a fresh user whose name carries the
// binding's hash and the call's fence, then ends those that calls with lower fences
// left behind. So a Bind that was killed anywhere leaves nothing that the next Bind,
// the Unbind or the Deprovision does not find by name.
package main

import (
	"errors"
	"sync"

	"github.com/chandler-broker/chandler/core/plugin"
)

// version is the plugin's own.
const version = "1.0.0"

func main() {
	plugin.Serve(plugin.ServeConfig{Description: description(), Plugin: newGlusterS3()})
}

func description() plugin.Description {
	return plugin.Description{
		Name:            "gluster-s3",
		Version:         version,
		Config:          configSchema,
		ProvisionInputs: provisionInputsSchema,
		BindInputs:      bindInputsSchema,
		InstanceOutputs: instanceOutputsSchema,
		BindingOutputs:  bindingOutputsSchema,
		// With accounts: versitygw all bindings of an instance share one document, the
		// bucket's policy, and the gateway offers no compare-and-swap. Describe comes
		// before the configuration, so it is so for all.
		SerializeInstance:     true,
		RequiresConfiguration: true,
	}
}

// glusterS3 is the plugin. Its zero value is not ready; use newGlusterS3.
type glusterS3 struct {
	mu      sync.RWMutex
	backend *backend // nil until configured
}

func newGlusterS3() *glusterS3 { return &glusterS3{} }

var (
	_ plugin.Plugin     = (*glusterS3)(nil)
	_ plugin.Configurer = (*glusterS3)(nil)
	_ plugin.Checker    = (*glusterS3)(nil)
)

// configured gives the backend, an error before Configure.
func (p *glusterS3) configured() (*backend, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.backend == nil {
		return nil, plugin.Unavailable(0, "The backend is not configured yet.").WithCause(errors.New("a verb was called before Configure"))
	}
	return p.backend, nil
}
