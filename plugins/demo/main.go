// Command chandler-plugin-demo is the plugin that needs nothing: a key-value
// service that keeps its instances as files in a directory of its own and serves
// them on a loopback port, so that the credentials of a binding work.
//
// It is for tests, documentation and a first look: its inputs make it slow,
// asynchronous or failing at will. The package must not know anything of Chandler
// but core/plugin. README.md describes inputs, outputs and the files.
package main

import (
	_ "embed"

	"github.com/chandler-broker/chandler/core/plugin"
)

const version = "1.0.0"

var (
	//go:embed schemas/config.json
	configSchema []byte
	//go:embed schemas/provision.json
	provisionSchema []byte
	//go:embed schemas/bind.json
	bindSchema []byte
	//go:embed schemas/instance-outputs.json
	instanceOutputsSchema []byte
	//go:embed schemas/binding-outputs.json
	bindingOutputsSchema []byte
)

func main() {
	plugin.Serve(plugin.ServeConfig{
		Description: plugin.Description{
			Name:            "demo",
			Version:         version,
			Config:          configSchema,
			ProvisionInputs: provisionSchema,
			BindInputs:      bindSchema,
			InstanceOutputs: instanceOutputsSchema,
			BindingOutputs:  bindingOutputsSchema,
			Isolated:        true,
		},
		Plugin: &demo{},
	})
}
