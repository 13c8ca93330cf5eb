// Package plugin is what the author of a Chandler plugin imports, and the only
// package of ours that a plugin needs.
//
// A plugin is an executable. Its author implements the five methods of [Plugin],
// says what it is in a [Description] and calls [Serve] from main; the package does
// the rest: the handshake with the broker, the wire format, checking of inputs
// against the declared schemas, secrets that stay the same when a call is repeated,
// panics, logs that never carry declared secrets, and the end of the process when
// the broker goes away.
//
// The broker's side uses [Handshake], [PluginSets] and the generated client of the
// proto package.
//
// The package must not know anything else of Chandler: neither core nor the
// packages below it. docs/writing-a-plugin.md is the tutorial,
// docs/plugin-protocol.md the contract for other languages.
package plugin
