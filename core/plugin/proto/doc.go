// Package pluginpb is the generated code of plugin.proto, the contract between
// broker and plugins. Regenerate it with `make generate`. It knows nothing but
// the wire format; plugin authors use core/plugin instead.
package pluginpb
