package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// streams are standard input, output and error, so that tests can run commands in process.
type streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// Exit statuses. exitStatuses explains them to users.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitInvalid    = 3
	exitBreaking   = 4
	exitNotFound   = 5
	exitUnfinished = 6
)

// exitStatuses is what the help and docs/command-line.md say of them.
var exitStatuses = []struct {
	status  int
	meaning string
}{
	{exitOK, "done"},
	{exitFailed, "the command or the operation failed"},
	{exitUsage, "wrong arguments, flags or configuration; nothing was done"},
	{exitInvalid, "catalog lint, test and status, plugin test: problems were found"},
	{exitBreaking, "catalog diff: a change would hurt existing instances or platforms"},
	{exitNotFound, "what was asked for does not exist"},
	{exitUnfinished, "interrupted or out of time, and the work goes on at the broker"},
}

// exitError carries an exit status with an error; an empty text prints nothing more.
type exitError struct {
	status int
	text   string
}

func (e *exitError) Error() string { return e.text }

func exitf(status int, format string, args ...any) error {
	return &exitError{status: status, text: fmt.Sprintf(format, args...)}
}

// run executes one command line and gives its exit status.
func run(ctx context.Context, args []string, io streams) int {
	root := rootCommand(io)
	root.SetArgs(append([]string{}, args...)) // nil would mean the process's own
	root.SetIn(io.In)
	root.SetOut(io.Out)
	root.SetErr(io.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(io.Err, "chandler: "+text)
	}
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.status
	}
	return exitFailed
}

func rootCommand(io streams) *cobra.Command {
	var statuses strings.Builder
	for _, s := range exitStatuses {
		fmt.Fprintf(&statuses, "\n  %d  %s", s.status, s.meaning)
	}
	root := group("chandler", "An Open Service Broker whose services are YAML and whose backends are plugins")
	root.Long = "Chandler is an Open Service Broker (OSB API 2.17) whose services are YAML and whose\n" +
		"backends are plugin executables.\n\nExit statuses:" + statuses.String()
	root.Version, root.SilenceErrors, root.SilenceUsage = version(), true, true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return exitf(exitUsage, "%v; see %s --help", err, c.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: "broker", Title: "Run and check a broker:"},
		&cobra.Group{ID: "operator", Title: "Operate it (needs an operator's credentials):"},
		&cobra.Group{ID: "client", Title: "Use any broker:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("broker", serveCommand(io), catalogCommand(io), pluginCommand(io))
	add("operator", instanceCommand(io), operationCommand(io), replicaCommand(io), dispatcherCommand(io), keysCommand(io), exportCommand(io), importCommand(io))
	add("client", clientCommands(io)...)
	addExamples(root)
	return root
}

// group makes a command that only holds others: without one it shows its help.
func group(use, short string) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			text := fmt.Sprintf("unknown command %q; see %s --help", args[0], c.CommandPath())
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				text += "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return exitf(exitUsage, "%s", text)
		},
		RunE:                       func(c *cobra.Command, _ []string) error { return c.Help() },
		SuggestionsMinimumDistance: 2,
	}
}

// usage wraps a positional-argument check so that a wrong count is a usage error.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return exitf(exitUsage, "%v; usage: %s", err, c.UseLine())
		}
		return nil
	}
}

// version is the module's version from the build, "devel" for a build from a work tree.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
