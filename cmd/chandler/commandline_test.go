package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The reference is what the code says: go test ./cmd/chandler -run CommandLine -update writes it.
func TestCommandLineReference(t *testing.T) {
	golden(t, "../../docs/command-line.md", commandLine())
}

// commandLine writes docs/command-line.md from the commands.
func commandLine() string {
	var out strings.Builder
	root := rootCommand(streams{Out: io.Discard, Err: io.Discard})
	fmt.Fprintf(&out, `# Command line

<!-- Written by a test from the commands themselves: go test ./cmd/chandler -run CommandLine -update -->

    chandler COMMAND [flags]

One binary is the broker (%[1]schandler serve%[1]s), the tools for those who write catalogs and plugins, the operator's
verbs, and a client for any Open Service Broker. Results go to standard output, progress and errors to
standard error.

Commands that print something take %[1]s-o table%[1]s (for people; may change), %[1]s-o json%[1]s or %[1]s-o yaml%[1]s (for programs: the same
keys in both). %[1]schandler completion bash%[1]s (or zsh, fish, powershell) prints a script that completes commands, flags,
and the broker's services and plans.

## Exit statuses

| status | meaning |
| --- | --- |
`, "`")
	for _, s := range exitStatuses {
		fmt.Fprintf(&out, "| %d | %s |\n", s.status, s.meaning)
	}
	connecting := connectionFlags()
	out.WriteString("\n## Which broker, and as whom\n\nCommands that talk to a broker take these flags. A flag wins over its environment variable.\n" +
		"Passwords and tokens come from the environment or a file: anybody on the machine can read a command's arguments.\n")
	writeFlags(&out, connecting)
	known := map[string]bool{}
	connecting.VisitAll(func(f *pflag.Flag) { known[f.Name] = true })
	for _, g := range root.Groups() {
		fmt.Fprintf(&out, "\n## %s\n", strings.TrimSuffix(g.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID == g.ID {
				writeCommand(&out, c, known)
			}
		}
	}
	return out.String()
}

func connectionFlags() *pflag.FlagSet {
	c := &cobra.Command{}
	new(connection).flags(c)
	return c.PersistentFlags()
}

// writeCommand writes a section for c, or for each command below it.
func writeCommand(out *strings.Builder, c *cobra.Command, connecting map[string]bool) {
	if c.HasSubCommands() {
		for _, sub := range c.Commands() {
			writeCommand(out, sub, connecting)
		}
		return
	}
	fmt.Fprintf(out, "\n### %s\n\n", c.CommandPath())
	if c.Long != "" {
		fmt.Fprintf(out, "%s\n", c.Long)
	} else {
		fmt.Fprintf(out, "%s.\n", c.Short)
	}
	fmt.Fprintf(out, "\n    %s\n", c.UseLine())
	own, remote := pflag.NewFlagSet("", pflag.ContinueOnError), false
	visit := func(f *pflag.Flag) {
		switch {
		case connecting[f.Name]:
			remote = true
		case f.Name != "help":
			own.AddFlag(f)
		}
	}
	c.NonInheritedFlags().VisitAll(visit)
	c.InheritedFlags().VisitAll(visit)
	writeFlags(out, own)
	if remote {
		out.WriteString("\nIt talks to [a broker](#which-broker-and-as-whom).\n")
	}
	fmt.Fprintf(out, "\n%s\n", regexp.MustCompile("(?m)^  ").ReplaceAllString(c.Example, "    "))
}

func writeFlags(out *strings.Builder, flags *pflag.FlagSet) {
	if !flags.HasFlags() {
		return
	}
	out.WriteString("\n| flag | default | meaning |\n| --- | --- | --- |\n")
	flags.VisitAll(func(f *pflag.Flag) {
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			name += " " + strings.ToUpper(kind)
		}
		value := ""
		if !slices.Contains([]string{"", "false", "[]", "0s"}, f.DefValue) {
			value = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", name, value, strings.ReplaceAll(usage, "|", "\\|"))
	})
}

// Every command that does something shows how, and no example is left over.
func TestExamples(t *testing.T) {
	left := map[string]bool{}
	for path := range examples {
		left[path] = true
	}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if !c.HasSubCommands() && c.GroupID+c.Parent().GroupID != "" && c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		delete(left, c.CommandPath())
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	root := rootCommand(streams{})
	for _, c := range root.Commands() {
		visit(c)
	}
	for path := range left {
		t.Errorf("there are examples for %q, which is no command", path)
	}
	for path, lines := range examples {
		for _, line := range lines {
			if err := parses(line); err != nil {
				t.Errorf("%s: %q: %v", path, line, err)
			}
		}
	}
}

var (
	fenced = regexp.MustCompile("(?s)```(?:sh|bash|console|text)?\n.*?```")
	indent = regexp.MustCompile("(?m)^    (.*)$")
	line   = regexp.MustCompile(`^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\./)?(?:bin/)?chandler(?: |$)`)
	span   = regexp.MustCompile("`((?:bin/)?chandler [^`\n]+)`")
)

// Command lines that the documents show are understood, with exactly these flags and arguments.
func TestDocumentedCommandLines(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range append(files, "../../README.md", "../../CONTRIBUTING.md") {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, block := range fenced.FindAllString(string(raw), -1) {
			lines = append(lines, strings.Split(block, "\n")...)
		}
		for _, m := range indent.FindAllStringSubmatch(string(raw), -1) {
			lines = append(lines, m[1])
		}
		for _, m := range span.FindAllStringSubmatch(string(raw), -1) {
			lines = append(lines, m[1])
		}
		for _, l := range lines {
			if !line.MatchString(l) || strings.HasPrefix(l, "chandler COMMAND") || strings.Contains(l, "[flags]") {
				continue
			}
			count++
			if err := parses(l); err != nil {
				t.Errorf("%s: %q: %v", file, l, err)
			}
		}
	}
	if count < 50 {
		t.Errorf("found %d command lines only: the search is broken", count)
	}
}

// parses checks a command line without running it. A bare command name, as prose
// uses it, is one as well.
func parses(text string) error {
	words, err := shellWords(text)
	if err != nil {
		return err
	}
	for len(words) > 0 && !strings.HasSuffix(words[0], "chandler") {
		words = words[1:] // the shell's prompt and variables
	}
	root := rootCommand(streams{Out: io.Discard, Err: io.Discard})
	root.InitDefaultCompletionCmd()
	c, args, err := root.Find(words[1:])
	if err != nil {
		return err
	}
	if err := c.ParseFlags(args); err != nil {
		return err
	}
	if args = c.Flags().Args(); len(args) == 0 && c.Flags().NFlag() == 0 && c != root {
		return nil
	}
	if c.HasSubCommands() && len(args) > 0 && strings.ContainsAny(args[0], "|…") {
		return nil // prose that names several
	}
	return c.ValidateArgs(args)
}

// shellWords splits a line at spaces outside of quotes, and ends at a comment or a pipe.
func shellWords(text string) ([]string, error) {
	var words []string
	var word bytes.Buffer
	quote, inside := rune(0), false
	end := func() {
		if inside {
			words = append(words, word.String())
		}
		word.Reset()
		inside = false
	}
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inside = r, true
		case r == ' ':
			end()
		case (r == '#' || r == '|' || r == '>') && !inside:
			return words, nil
		default:
			inside = true
			word.WriteRune(r)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a %c is not closed", quote)
	}
	end()
	return words, nil
}
