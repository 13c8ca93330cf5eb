// Package plugintest is the conformance kit for Chandler plugins: it starts a plugin
// binary as the broker does and checks what the contract promises, whatever language
// the plugin is written in. [Run] is for the plugin's Go tests, [Check] for everybody
// else; `chandler plugin test` is made of it.
//
// It makes real instances at the plugin's backend and removes them again. It must not
// know the broker: only core/plugin and the wire.
package plugintest
