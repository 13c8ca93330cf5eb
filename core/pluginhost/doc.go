// Package pluginhost finds, verifies, starts, supervises and calls plugin
// processes; its Host implements core.Backends.
//
// One backend is one process. A supervisor per backend brings what runs to what is
// wanted (a binary and a configuration): it starts the new process beside the old
// one, lets new calls go to it, and ends the old one when its calls have returned.
// What cannot be started changes nothing.
//
// The promise to core is that Call returns only when the plugin's call has
// returned or its process is dead; the promise to the operator is that no plugin
// and nothing that a plugin forked outlives the broker (see guard.go).
//
// The package must not know HTTP, SQL, YAML, the catalog or what the plugins do;
// it reads the directories and the BackendConfigs that it is given.
package pluginhost
