package osbapi

import (
	"net/http"
	"strconv"
	"strings"
)

// newestMinor is the minor version of OSB 2.x that the broker speaks itself.
const newestMinor = 17

// version is the minor version of OSB 2.x that an answer speaks: 0 to newestMinor.
type version int

// parseVersion reads X-Broker-API-Version. Minor versions are compared as numbers
// (2.9 is older than 2.17); a newer one than ours is answered in ours, since minor
// versions only add. ok is false for a header that is missing, malformed or of
// another major version.
func parseVersion(header http.Header) (v version, ok bool) {
	values := header[keyVersion]
	if len(values) != 1 {
		return 0, false
	}
	major, minor, found := strings.Cut(values[0], ".")
	if !found || major != "2" || minor == "" || len(minor) > 9 {
		return 0, false
	}
	for _, c := range minor {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(minor)
	if err != nil {
		return 0, false
	}
	return version(min(n, newestMinor)), true
}

// object names a JSON object of the specification in the table below.
type object string

const (
	objService          object = "service"
	objPlan             object = "plan"
	objInstanceChanged  object = "provision and update answer"
	objUpdated          object = "update answer"
	objBindingChanged   object = "bind and unbind answer"
	objInstance         object = "fetched instance"
	objBinding          object = "fetched binding"
	objInstanceMetadata object = "instance metadata"
	objBindingMetadata  object = "binding metadata"
	objOperation        object = "last operation"
	objError            object = "error"
)

// introduced says in which minor version of OSB 2.x a field of an answer first
// appeared, after the specification's release notes; a field that is not listed
// has always been there. An answer speaks the minor version of its request
// (decision C-4), so that a client which refuses unknown fields can be served.
var introduced = map[object]map[string]version{
	objService: {
		"dashboard_client":      3,
		"plan_updateable":       4,
		"instances_retrievable": 14,
		"bindings_retrievable":  14,
		"allow_context_updates": 15,
	},
	objPlan: {
		"free":                     2,
		"bindable":                 11,
		"schemas":                  13,
		"plan_updateable":          15,
		"maximum_polling_duration": 15,
		"maintenance_info":         15,
		"binding_rotatable":        17,
	},
	objInstanceChanged: {
		"operation": 9,
		"metadata":  16,
	},
	objUpdated: {
		"operation":     9,
		"dashboard_url": 14, // only a provision could give one before
		"metadata":      16,
	},
	objBindingChanged: {
		"route_service_url": 8,
		"volume_mounts":     10,
		"operation":         14, // bindings became asynchronous
		"endpoints":         15,
		"metadata":          16,
	},
	objInstance: {
		"maintenance_info": 17,
		"metadata":         17,
	},
	objBinding: {
		"endpoints": 15,
		"metadata":  16,
	},
	objInstanceMetadata: {"attributes": 17},
	objBindingMetadata:  {"renew_before": 17},
	objOperation: {
		"instance_usable":   16,
		"update_repeatable": 16,
	},
	objError: {
		"instance_usable":   16,
		"update_repeatable": 16,
	},
}

// speak leaves out the fields of d that v does not know, and gives d.
func (v version) speak(o object, d doc) doc {
	for name, since := range introduced[o] {
		if v < since {
			delete(d, name)
		}
	}
	return d
}
