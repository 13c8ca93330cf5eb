package main

import (
	"encoding/json"
	"fmt"
	"time"
)

// instanceInputs are the inputs of Provision and Update; schemas/provision.json says more.
type instanceInputs struct {
	Name     string `json:"name,omitempty"`
	Size     int    `json:"size,omitempty"`
	OnDelete string `json:"onDelete,omitempty"`
	behaviour
}

// bindInputs are the inputs of Bind; schemas/bind.json says more.
type bindInputs struct {
	Access string `json:"access,omitempty"`
	behaviour
}

// behaviour is how a call behaves, whatever it does.
type behaviour struct {
	Latency    duration `json:"latency,omitzero"`
	Steps      int      `json:"steps,omitempty"`
	RetryAfter duration `json:"retryAfter,omitzero"`
	Block      bool     `json:"block,omitempty"`
	Fail       []fault  `json:"fail,omitempty"`
}

// fault is one injected failure.
type fault struct {
	Verb             string   `json:"verb"`
	Code             string   `json:"code"`
	Times            int      `json:"times,omitempty"`
	After            bool     `json:"after,omitempty"`
	Message          string   `json:"message,omitempty"`
	Pointer          string   `json:"pointer,omitempty"`
	RetryAfter       duration `json:"retryAfter,omitzero"`
	InstanceUsable   *bool    `json:"instanceUsable,omitempty"`
	UpdateRepeatable *bool    `json:"updateRepeatable,omitempty"`
}

// duration is a time.Duration that is written as in Go, e.g. "1.5s".
type duration time.Duration

// UnmarshalJSON reads "1.5s".
func (d *duration) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed < 0 {
		return fmt.Errorf("%q is not a duration such as 1.5s", text)
	}
	*d = duration(parsed)
	return nil
}

// MarshalJSON writes "1.5s".
func (d duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).String())
}
