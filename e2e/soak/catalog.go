package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/chandler-broker/chandler/e2e/soak/record"
)

// The services of the soak: like the shipped ones, but quick, so that many operations
// meet many kills.
const demoService = `id: soak-demo
name: soak-demo
description: The demo plugin for the soak.
backend: demo
bindable: true
instancesRetrievable: true
bindingsRetrievable: true
planUpdateable: true
bindingRotatable: true
schemas:
  provision: {type: object, properties: {size: {type: integer, minimum: 1, maximum: 1000}}}
  update: {type: object, properties: {size: {type: integer, minimum: 1, maximum: 1000}}}
  bind: {type: object, properties: {access: {type: string, enum: [read-write, read-only]}}}
provision: {size: "{{ .parameters.size }}"}
bind: {access: "{{ .parameters.access }}"}
credentials: {uri: "{{ .binding.outputs.uri }}", username: "{{ .binding.outputs.username }}", password: "{{ .binding.outputs.password }}"}
timeouts: {provision: 30m, update: 30m, deprovision: 30m, bind: 30m, unbind: 30m}
plans:
- {id: plan-0, name: quick, description: Done at once.}
- {id: plan-1, name: steps, description: Several calls., provision: {steps: 3, retryAfter: 150ms}, bind: {steps: 2, retryAfter: 100ms}}
- {id: plan-2, name: blocking, description: One long call., provision: {steps: 4, latency: 100ms, block: true}, bind: {latency: 200ms}}
- id: plan-3
  name: async
  description: Asynchronous requests only.
  provision: {steps: 2, retryAfter: 200ms}
  bind: {steps: 1, retryAfter: 100ms}
  async: {provision: required, update: required, deprovision: required, bind: required, unbind: required}
- id: plan-4
  name: flaky
  description: Cannot be reached at first.
  provision: {fail: [{verb: provision, code: unavailable, times: 2, message: not now}, {verb: deprovision, code: unavailable, times: 1, message: not now}]}
  bind: {fail: [{verb: bind, code: unavailable, times: 2, message: not now}, {verb: unbind, code: unavailable, times: 1, message: not now}]}
- {id: plan-5, name: failing, description: Never works., provision: {fail: [{verb: provision, code: failed, message: never}]}}
- {id: plan-6, name: crashing, description: The plugin dies in the middle., provision: {fail: [{verb: provision, code: crash, times: 1, after: true, message: crash}]}, bind: {fail: [{verb: bind, code: crash, times: 1, after: true, message: crash}]}}
`

const bucketService = `id: soak-bucket
name: soak-bucket
description: Buckets for the soak.
backend: gluster-s3
bindable: true
instancesRetrievable: true
bindingsRetrievable: true
planUpdateable: true
bindingRotatable: true
schemas:
  provision: {type: object, properties: {bucketName: {type: string}, size: {type: integer, minimum: 1, maximum: 1000}}}
  update: {type: object, properties: {size: {type: integer, minimum: 1, maximum: 1000}}}
  bind: {type: object, properties: {access: {type: string, enum: [read-write, read-only]}}}
provision:
  bucket: "{{ .parameters.bucketName }}"
  tags: {size: "s{{ .parameters.size | default 0 }}"}
bind: {access: "{{ .parameters.access }}"}
credentials: {bucket: "{{ .binding.outputs.bucket }}", key: "{{ .binding.outputs.accessKeyID }}", secret: "{{ .binding.outputs.secretAccessKey }}"}
timeouts: {provision: 30m, update: 30m, deprovision: 30m, bind: 30m, unbind: 30m}
plans:
- {id: plan-7, name: purge, description: Deleted with its objects., provision: {onDelete: purge}}
- {id: plan-8, name: refuse, description: Deleted when empty., provision: {onDelete: refuse}}
`

// The plans' numbers, by which record knows them.
const (
	planQuick, planSteps, planBlocking, planAsync, planFlaky, planFailing, planCrashing = 0, 1, 2, 3, 4, 5, 6
	planPurge, planRefuse                                                               = 7, 8
)

// takenBucket belongs to somebody else at the gateway.
const takenBucket = "soak-taken"

// parametersTaken is the number of the parameters that ask for it.
const parametersTaken = 9

func serviceOf(plan uint8) string {
	if plan >= planPurge {
		return "soak-bucket"
	}
	return "soak-demo"
}

func planID(plan uint8) string { return fmt.Sprintf("plan-%d", plan) }

// planNumber is the inverse of planID; 255 for what is none.
func planNumber(id string) uint8 {
	var n uint8
	if _, err := fmt.Sscanf(id, "plan-%d", &n); err != nil {
		return 255
	}
	return n
}

// rules are what record must know of this catalog.
func rules(postgres bool) record.Rules {
	return record.Rules{
		AsyncOnly: func(plan uint8) bool { return plan == planAsync },
		Fate: func(a record.Attributes) record.Fate {
			switch {
			case a.Plan == planFailing:
				return record.Fails
			case a.Parameters == parametersTaken:
				return record.Refuses
			}
			return record.Succeeds
		},
		Keeps:  func(plan uint8) bool { return plan == planRefuse },
		Shared: postgres,
	}
}

// writeCatalog writes the services to a directory.
func writeCatalog(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{"demo.yaml": demoService, "bucket.yaml": bucketService} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
