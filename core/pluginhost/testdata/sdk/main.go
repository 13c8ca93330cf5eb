// The plugin of testdata/echo as an executable.
package main

import (
	"github.com/chandler-broker/chandler/core/plugin"
	"github.com/chandler-broker/chandler/core/pluginhost/testdata/echo"
)

func main() {
	plugin.Serve(plugin.ServeConfig{Description: echo.Description, Plugin: echo.Plugin{}})
}
