package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/google/uuid"
)

// plan is the service and plan that the cycles use.
type plan struct{ ServiceID, PlanID string }

// demoPlan is the plan "default" of catalog/demo.yaml, which is ready at once.
var demoPlan = plan{ServiceID: "a902fe73-8c98-4232-a752-a2f6a00e8242", PlanID: "41ecaf2e-160d-4998-9fcf-0d515c372f87"}

// instanceBody is a PUT's as Kubernetes sends it.
func (p plan) instanceBody() []byte {
	return []byte(`{"service_id":"` + p.ServiceID + `","plan_id":"` + p.PlanID +
		`","organization_guid":"2ee1a1b5-0d2f-4a3c-9d7a-8a8a7a1d0001","space_guid":"2ee1a1b5-0d2f-4a3c-9d7a-8a8a7a1d0002",` +
		`"context":{"platform":"kubernetes","namespace":"default","clusterid":"load","instance_name":"load"},` +
		`"parameters":{"size":10}}`)
}

func (p plan) bindingBody() []byte {
	return []byte(`{"service_id":"` + p.ServiceID + `","plan_id":"` + p.PlanID +
		`","context":{"platform":"kubernetes","namespace":"default","clusterid":"load"},"parameters":{"access":"read-only"}}`)
}

func (p plan) query() string { return "?service_id=" + p.ServiceID + "&plan_id=" + p.PlanID }

// cycle provisions an instance, binds it, unbinds and deprovisions it, each synchronously.
func (p plan) cycle(ctx context.Context, s *session) error {
	instance := "/v2/service_instances/" + uuid.NewString()
	binding := instance + "/service_bindings/" + uuid.NewString()
	for _, r := range []struct {
		name, method, target string
		body                 []byte
		want                 int
	}{
		{"provision", http.MethodPut, instance, p.instanceBody(), http.StatusCreated},
		{"bind", http.MethodPut, binding, p.bindingBody(), http.StatusCreated},
		{"unbind", http.MethodDelete, binding + p.query(), nil, http.StatusOK},
		{"deprovision", http.MethodDelete, instance + p.query(), nil, http.StatusOK},
	} {
		err := s.measure(r.name, func() error { return s.expect(ctx, r.method, r.target, "", r.body, r.want) })
		if err != nil {
			return err
		}
	}
	return nil
}

// expect sends a request and fails unless the answer has the status.
func (c *client) expect(ctx context.Context, method, target, extra string, body []byte, want int) error {
	status, answer, err := c.do(ctx, method, target, extra, body)
	if err != nil || status == want {
		return err
	}
	var said struct {
		Error       string `json:"error"`
		Description string `json:"description"`
	}
	_ = json.Unmarshal(answer, &said) // what is not JSON has no description
	return fmt.Errorf("%s %s: status %d, not %d: %s %s", method, target, status, want, said.Error, said.Description)
}
