package plugin

import (
	"context"
	"errors"

	hplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// ProtocolVersion is the version of the contract, negotiated by go-plugin through
// PLUGIN_PROTOCOL_VERSIONS. It is not the version of any plugin.
const ProtocolVersion = 1

// ServiceName is the key of the plugin in [PluginSets], for go-plugin's Dispense.
const ServiceName = "chandler"

// LifelineEnv names the environment variable that holds the number of an inherited
// file descriptor: the read end of a pipe that nobody writes to. Its end-of-file
// tells that the broker is gone, whatever ended it; the plugin then ends itself and
// its process group.
const LifelineEnv = "CHANDLER_LIFELINE_FD"

// LogLevelEnv names the environment variable with the least level that the plugin
// logs: trace, debug, info, warn or error. Debug if it is not set.
const LogLevelEnv = "CHANDLER_LOG_LEVEL"

// Limits of the contract in bytes.
const (
	// MaxDocument bounds each of config, inputs, outputs and handle.
	MaxDocument = 1 << 20
	// MaxMessage bounds a message of the wire: a request carries several documents.
	MaxMessage = 64 << 20
)

// Handshake is go-plugin's handshake: not a security measure, only what lets an
// executable that a person starts by mistake say that it is a plugin. The protocol
// version is negotiated through [PluginSets].
var Handshake = hplugin.HandshakeConfig{
	MagicCookieKey:   "CHANDLER_PLUGIN",
	MagicCookieValue: "chandler-supplies-ships",
}

// PluginSets is what the broker hands to go-plugin as VersionedPlugins. Dispense of
// [ServiceName] gives a pluginpb.PluginClient.
func PluginSets() map[int]hplugin.PluginSet {
	return map[int]hplugin.PluginSet{
		ProtocolVersion: {ServiceName: &GRPCPlugin{}},
	}
}

// GRPCPlugin is the glue between go-plugin and the generated code.
type GRPCPlugin struct {
	hplugin.NetRPCUnsupportedPlugin
	// Impl answers the calls; nil on the broker's side.
	Impl pluginpb.PluginServer
}

var _ hplugin.GRPCPlugin = (*GRPCPlugin)(nil)

// GRPCServer registers the plugin's server with s; go-plugin calls it.
func (p *GRPCPlugin) GRPCServer(_ *hplugin.GRPCBroker, s *grpc.Server) error {
	if p.Impl == nil {
		return errors.New("plugin.GRPCPlugin has no Impl")
	}
	pluginpb.RegisterPluginServer(s, p.Impl)
	return nil
}

// GRPCClient gives a pluginpb.PluginClient that speaks over conn; go-plugin calls it.
func (p *GRPCPlugin) GRPCClient(_ context.Context, _ *hplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return pluginpb.NewPluginClient(conn), nil
}
