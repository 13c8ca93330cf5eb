package main

import _ "embed"

// JSON Schemas that Describe gives; the broker publishes and enforces them.
var (
	//go:embed schemas/config.json
	configSchema []byte
	//go:embed schemas/provision-inputs.json
	provisionInputsSchema []byte
	//go:embed schemas/bind-inputs.json
	bindInputsSchema []byte
	//go:embed schemas/instance-outputs.json
	instanceOutputsSchema []byte
	//go:embed schemas/binding-outputs.json
	bindingOutputsSchema []byte
)
